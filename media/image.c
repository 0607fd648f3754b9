/* image.c: images in memory: making, reading (which decoder), grey and RGB, resizing. Rests on the C library. */
#include "media_internal.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

cbm_status cbm_image_check_size(int64_t width, int64_t height, cbm_media_message *message)
{
    if (width < 1 || height < 1)
        return cbm_media_fail(message, CBM_ERROR_FORMAT, "the image has no pixels (%lld x %lld)", (long long)width,
                              (long long)height);
    if (width > CBM_IMAGE_MAX_SIDE || height > CBM_IMAGE_MAX_SIDE || width * height > CBM_IMAGE_MAX_PIXELS)
        return cbm_media_fail(message, CBM_ERROR_FORMAT,
                              "the image claims %lld x %lld pixels; at most %lld a side and %lld in all are read",
                              (long long)width, (long long)height, (long long)CBM_IMAGE_MAX_SIDE,
                              (long long)CBM_IMAGE_MAX_PIXELS);
    return CBM_OK;
}

cbm_status cbm_image_new(int64_t width, int64_t height, int64_t channels, cbm_image *image, cbm_media_message *message)
{
    *image = (cbm_image){ 0 };
    cbm_status status = cbm_image_check_size(width, height, message);
    if (status != CBM_OK)
        return status;
    if (channels < 1 || channels > 4)
        return cbm_media_fail(message, CBM_ERROR_INVALID, "an image has 1 to 4 channels, not %lld",
                              (long long)channels);
    uint8_t *pixels = calloc((size_t)(width * height), (size_t)channels);
    if (!pixels)
        return cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory for an image of %lld x %lld pixels",
                              (long long)width, (long long)height);
    *image = (cbm_image){ width, height, channels, pixels };
    return CBM_OK;
}

void cbm_image_free(cbm_image *image)
{
    if (!image)
        return;
    free(image->pixels);
    *image = (cbm_image){ 0 };
}

cbm_status cbm_image_read_memory(const void *bytes, size_t size, cbm_image *image, cbm_media_message *message)
{
    static const uint8_t png[8] = { 0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n' };
    static const uint8_t jpeg[3] = { 0xff, 0xd8, 0xff };
    *image = (cbm_image){ 0 };
    if (message)
        message->text[0] = 0;
    if (size >= sizeof png && memcmp(bytes, png, sizeof png) == 0)
        return cbm_png_decode(bytes, size, image, message);
    if (size >= sizeof jpeg && memcmp(bytes, jpeg, sizeof jpeg) == 0)
        return cbm_jpeg_decode(bytes, size, image, message);
    return cbm_media_fail(message, CBM_ERROR_FORMAT, "neither a PNG nor a JPEG image");
}

/* The whole file, at most the limit; the caller frees *bytes. */
static cbm_status read_file(const char *path, uint8_t **bytes, size_t *size, cbm_media_message *message)
{
    int64_t bytes_there = 0;
    const int fd = cbm_media_open(path, &bytes_there, message);
    if (fd < 0)
        return CBM_ERROR_IO;
    cbm_status status = CBM_OK;
    uint8_t *buffer = NULL;
    if (bytes_there > CBM_IMAGE_MAX_FILE_BYTES)
        status = cbm_media_fail(message, CBM_ERROR_FORMAT, "'%s' is too large for an image (%lld bytes)", path,
                                (long long)bytes_there);
    else if (!(buffer = malloc((size_t)bytes_there + 1)))
        status = cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory to read '%s'", path);
    else if (!cbm_media_read_at(fd, buffer, (size_t)bytes_there, 0))
        status = cbm_media_fail(message, CBM_ERROR_IO, "cannot read '%s' whole", path);
    close(fd);
    if (status != CBM_OK) {
        free(buffer);
        return status;
    }
    *bytes = buffer;
    *size = (size_t)bytes_there;
    return CBM_OK;
}

cbm_status cbm_image_read(const char *path, cbm_image *image, cbm_media_message *message)
{
    *image = (cbm_image){ 0 };
    if (message)
        message->text[0] = 0;
    uint8_t *bytes = NULL;
    size_t size = 0;
    cbm_status status = read_file(path, &bytes, &size, message);
    if (status != CBM_OK)
        return status;
    cbm_media_message reason = { "" };
    status = cbm_image_read_memory(bytes, size, image, &reason);
    free(bytes);
    if (status != CBM_OK)
        return cbm_media_fail(message, status, "'%s': %s", path, reason.text);
    return CBM_OK;
}

/* The colour of one pixel over black. */
static void pixel_rgb(const uint8_t *p, int64_t channels, double rgb[3])
{
    bool grey = channels <= 2;
    double alpha = channels == 2 ? p[1] / 255.0 : channels == 4 ? p[3] / 255.0 : 1.0;
    for (int i = 0; i < 3; i++)
        rgb[i] = p[grey ? 0 : i] * alpha;
}

static uint8_t to_byte(double v)
{
    return v <= 0 ? 0 : v >= 255 ? 255 : (uint8_t)lrint(v);
}

cbm_status cbm_image_to_grey(const cbm_image *image, cbm_image *grey, cbm_media_message *message)
{
    cbm_status status = cbm_image_new(image->width, image->height, 1, grey, message);
    if (status != CBM_OK)
        return status;
    for (int64_t i = 0; i < image->width * image->height; i++) {
        double c[3];
        pixel_rgb(image->pixels + i * image->channels, image->channels, c);
        grey->pixels[i] = to_byte(0.299 * c[0] + 0.587 * c[1] + 0.114 * c[2]);
    }
    return CBM_OK;
}

cbm_status cbm_image_to_rgb(const cbm_image *image, cbm_image *rgb, cbm_media_message *message)
{
    cbm_status status = cbm_image_new(image->width, image->height, 3, rgb, message);
    if (status != CBM_OK)
        return status;
    for (int64_t i = 0; i < image->width * image->height; i++) {
        double c[3];
        pixel_rgb(image->pixels + i * image->channels, image->channels, c);
        for (int k = 0; k < 3; k++)
            rgb->pixels[3 * i + k] = to_byte(c[k]);
    }
    return CBM_OK;
}

/* Resamples lines of n_in samples to n_out: in[line * in_line + i * in_step] -> out[line * out_line + o * out_step].
   The filter is a triangle as wide as one output sample, at least one input sample, centred on it. */
static void resample(const float *in, int64_t n_in, int64_t in_step, int64_t in_line, float *out, int64_t n_out,
                     int64_t out_step, int64_t out_line, int64_t lines)
{
    double scale = (double)n_in / (double)n_out;
    double radius = scale > 1 ? scale : 1;
    for (int64_t o = 0; o < n_out; o++) {
        double centre = ((double)o + 0.5) * scale - 0.5;
        int64_t first = (int64_t)ceil(centre - radius), last = (int64_t)floor(centre + radius);
        first = first < 0 ? 0 : first;
        last = last >= n_in ? n_in - 1 : last;
        double total = 0;
        for (int64_t i = first; i <= last; i++)
            total += 1 - fabs((double)i - centre) / radius;
        for (int64_t line = 0; line < lines; line++) {
            double sum = 0;
            for (int64_t i = first; i <= last; i++)
                sum += (1 - fabs((double)i - centre) / radius) * (double)in[line * in_line + i * in_step];
            out[line * out_line + o * out_step] = (float)(sum / total);
        }
    }
}

cbm_status cbm_image_resize(const cbm_image *image, int64_t width, int64_t height, cbm_image *resized,
                            cbm_media_message *message)
{
    cbm_status status = cbm_image_new(width, height, image->channels, resized, message);
    if (status != CBM_OK)
        return status;
    int64_t c = image->channels, w = image->width, h = image->height;
    float *source = malloc((size_t)(w * h) * sizeof *source);     /* (h, w), one channel */
    float *narrow = malloc((size_t)(width * h) * sizeof *narrow); /* (h, width) */
    float *result = malloc((size_t)(width * height) * sizeof *result);
    if (!source || !narrow || !result) {
        cbm_image_free(resized);
        status = cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory to resize an image");
        goto done;
    }
    for (int64_t k = 0; k < c; k++) {
        for (int64_t i = 0; i < w * h; i++)
            source[i] = image->pixels[i * c + k];
        resample(source, w, 1, w, narrow, width, 1, width, h);
        resample(narrow, h, width, 1, result, height, width, 1, width);
        for (int64_t i = 0; i < width * height; i++)
            resized->pixels[i * c + k] = to_byte((double)result[i]);
    }
done:
    free(source);
    free(narrow);
    free(result);
    return status;
}

void cbm_image_invert(cbm_image *image)
{
    int64_t colors = image->channels <= 2 ? 1 : 3;
    for (int64_t i = 0; i < image->width * image->height; i++)
        for (int64_t k = 0; k < colors; k++)
            image->pixels[i * image->channels + k] = (uint8_t)(255 - image->pixels[i * image->channels + k]);
}
