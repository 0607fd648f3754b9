/* planes.c: a picture of any size as planes of one size: what folders and shards of pictures hand out. Rests on image.c. */
#include "media_internal.h"

#include <math.h>
#include <string.h>
#include <strings.h>

bool cbm_is_picture_ending(const char *ending)
{
    return strcasecmp(ending, ".png") == 0 || strcasecmp(ending, ".jpg") == 0 || strcasecmp(ending, ".jpeg") == 0;
}

#define LONGEST 4 /* times as long as the target: of what is longer the middle is taken before it is scaled */

cbm_status cbm_planes_check(int64_t height, int64_t width, int64_t channels, cbm_media_message *message)
{
    if (channels != 1 && channels != 3)
        return cbm_media_fail(message, CBM_ERROR_INVALID, "pictures have 1 channel or 3, not %lld",
                              (long long)channels);
    return cbm_image_check_size(width, height, message);
}

static double covering_scale(const cbm_image *in, int64_t height, int64_t width)
{
    return fmax((double)width / (double)in->width, (double)height / (double)in->height);
}

/* *in becomes its middle if it is so elongated that most of it, scaled, would be cut off. */
static cbm_status shorten(cbm_image *in, int64_t height, int64_t width, cbm_media_message *message)
{
    const double scale = covering_scale(in, height, width);
    const double longest_w = ceil(LONGEST * (double)width / scale), longest_h = ceil(LONGEST * (double)height / scale);
    const int64_t w = (double)in->width > longest_w ? (int64_t)longest_w : in->width;
    const int64_t h = (double)in->height > longest_h ? (int64_t)longest_h : in->height;
    const int64_t left = (in->width - w) / 2, top = (in->height - h) / 2, c = in->channels;
    cbm_image middle;
    if (w == in->width && h == in->height)
        return CBM_OK;
    const cbm_status status = cbm_image_new(w, h, c, &middle, message);
    if (status != CBM_OK)
        return status;
    for (int64_t y = 0; y < h; y++)
        memcpy(middle.pixels + y * w * c, in->pixels + ((top + y) * in->width + left) * c, (size_t)(w * c));
    cbm_image_free(in);
    *in = middle;
    return CBM_OK;
}

/* Scaled so that it covers height x width, with as little of it outside as possible. */
static cbm_status cover(const cbm_image *in, int64_t height, int64_t width, cbm_image *out, cbm_media_message *message)
{
    const double scale = covering_scale(in, height, width);
    int64_t w = (int64_t)((double)in->width * scale + 0.5), h = (int64_t)((double)in->height * scale + 0.5);
    w = w < width ? width : w;
    h = h < height ? height : h;
    return cbm_image_resize(in, w, h, out, message);
}

/* The middle of an image, sample by sample of each pixel to planes. */
static void take_middle(const cbm_image *in, int64_t height, int64_t width, uint8_t *planes)
{
    const int64_t top = (in->height - height) / 2, left = (in->width - width) / 2, c = in->channels;
    for (int64_t y = 0; y < height; y++)
        for (int64_t x = 0; x < width; x++)
            for (int64_t k = 0; k < c; k++)
                planes[(k * height + y) * width + x] = in->pixels[((top + y) * in->width + left + x) * c + k];
}

cbm_status cbm_image_to_planes(const cbm_image *image, int64_t height, int64_t width, int64_t channels, uint8_t *planes,
                               cbm_media_message *message)
{
    cbm_image converted = { 0 }, covering = { 0 };
    cbm_status status =
        channels == 1 ? cbm_image_to_grey(image, &converted, message) : cbm_image_to_rgb(image, &converted, message);
    if (status == CBM_OK)
        status = shorten(&converted, height, width, message);
    if (status == CBM_OK)
        status = cover(&converted, height, width, &covering, message);
    if (status == CBM_OK)
        take_middle(&covering, height, width, planes);
    cbm_image_free(&converted);
    cbm_image_free(&covering);
    return status;
}
