/* png.c: PNG from and to memory. Rests on libpng, whose errors come back by longjmp into the one function that set the
   jump; everything that must survive it lives in a struct of the caller. */
#include "media_internal.h"

#include <limits.h>
#include <png.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

enum { BYTES_PER_COMPRESSED_BYTE = 1040 }; /* deflate cannot do better than about 1032 to 1 */

typedef struct reader {
    const uint8_t *bytes;
    size_t size, at;
    cbm_image *image;
    png_bytep *rows;
    cbm_media_message *message;
    cbm_status status;
} reader;

typedef struct writer {
    uint8_t *bytes;
    size_t size, room;
    const cbm_image *image;
    cbm_media_message *message;
    cbm_status status;
} writer;

_Noreturn static void on_error(png_structp png, png_const_charp text)
{
    cbm_media_message *message = png_get_error_ptr(png);
    if (message && !message->text[0])
        cbm_media_fail(message, CBM_ERROR_FORMAT, "PNG: %s", text);
    png_longjmp(png, 1);
}

static void on_warning(png_structp png, png_const_charp text)
{
    (void)png;
    (void)text;
}

static void read_bytes(png_structp png, png_bytep out, size_t size)
{
    reader *r = png_get_io_ptr(png);
    if (size > r->size - r->at)
        png_error(png, "the file ends too early");
    memcpy(out, r->bytes + r->at, size);
    r->at += size;
}

/* Asks for 8 bits a sample, without palette, 1 to 4 channels. */
static void ask_for_plain_pixels(png_structp png, png_infop info)
{
    int color = png_get_color_type(png, info), depth = png_get_bit_depth(png, info);
    if (depth == 16)
        png_set_scale_16(png);
    if (color == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (color == PNG_COLOR_TYPE_GRAY && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (png_get_valid(png, info, PNG_INFO_tRNS))
        png_set_tRNS_to_alpha(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, info);
}

/* Reads the header, then the pixels; jumps out of here on libpng's errors. */
static void read_image(png_structp png, png_infop info, reader *r)
{
    if (setjmp(png_jmpbuf(png))) {
        r->status = CBM_ERROR_FORMAT;
        return;
    }
    png_set_read_fn(png, r, read_bytes);
    png_set_user_limits(png, (png_uint_32)CBM_IMAGE_MAX_SIDE, (png_uint_32)CBM_IMAGE_MAX_SIDE);
    png_set_chunk_cache_max(png, 128);
    png_set_chunk_malloc_max(png, 8u << 20);
    png_read_info(png, info);
    int64_t width = png_get_image_width(png, info), height = png_get_image_height(png, info);
    r->status = cbm_image_check_size(width, height, r->message);
    if (r->status != CBM_OK)
        return;
    ask_for_plain_pixels(png, info);
    int64_t channels = png_get_channels(png, info);
    size_t row_bytes = png_get_rowbytes(png, info);
    if (row_bytes != (size_t)(width * channels))
        png_error(png, "an unexpected pixel layout");
    /* One bit a pixel at least, before the palette is expanded. */
    if ((uint64_t)(width * height) / 8 > (uint64_t)r->size * BYTES_PER_COMPRESSED_BYTE)
        png_error(png, "the file is too short for the size it claims");
    r->status = cbm_image_new(width, height, channels, r->image, r->message);
    if (r->status != CBM_OK)
        return;
    r->rows = malloc((size_t)height * sizeof *r->rows);
    if (!r->rows) {
        r->status = cbm_media_fail(r->message, CBM_ERROR_MEMORY, "no memory to read a PNG image");
        return;
    }
    for (int64_t y = 0; y < height; y++)
        r->rows[y] = r->image->pixels + (size_t)y * row_bytes;
    png_read_image(png, r->rows);
    png_read_end(png, NULL);
}

cbm_status cbm_png_decode(const uint8_t *bytes, size_t size, cbm_image *image, cbm_media_message *message)
{
    cbm_media_message unused = { "" };
    reader r = { .bytes = bytes, .size = size, .image = image, .message = message ? message : &unused };
    r.message->text[0] = 0;
    png_structp png = png_create_read_struct(PNG_LIBPNG_VER_STRING, r.message, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (info)
        read_image(png, info, &r);
    else
        r.status = cbm_media_fail(r.message, CBM_ERROR_MEMORY, "no memory to read a PNG image");
    png_destroy_read_struct(&png, &info, NULL);
    free(r.rows);
    if (r.status != CBM_OK)
        cbm_image_free(image);
    return r.status;
}

static void write_bytes(png_structp png, png_bytep in, size_t size)
{
    writer *w = png_get_io_ptr(png);
    if (size > SIZE_MAX / 2 - w->size)
        png_error(png, "the image is too large to write");
    if (w->size + size > w->room) {
        size_t room = (w->size + size) * 2;
        uint8_t *bytes = realloc(w->bytes, room);
        if (!bytes)
            png_error(png, "no memory");
        w->bytes = bytes;
        w->room = room;
    }
    memcpy(w->bytes + w->size, in, size);
    w->size += size;
}

static void flush_bytes(png_structp png)
{
    (void)png;
}

static void write_image(png_structp png, png_infop info, writer *w)
{
    static const int color_types[5] = { 0, PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                        PNG_COLOR_TYPE_RGB_ALPHA };
    if (setjmp(png_jmpbuf(png))) {
        w->status = CBM_ERROR_MEMORY;
        return;
    }
    const cbm_image *image = w->image;
    png_set_write_fn(png, w, write_bytes, flush_bytes);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8, color_types[image->channels],
                 PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    png_write_info(png, info);
    for (int64_t y = 0; y < image->height; y++)
        png_write_row(png, image->pixels + y * image->width * image->channels);
    png_write_end(png, info);
}

cbm_status cbm_image_write_png(const cbm_image *image, const char *path, cbm_media_message *message)
{
    cbm_media_message unused = { "" };
    writer w = { .image = image, .message = message ? message : &unused };
    w.message->text[0] = 0;
    if (!image->pixels || image->channels < 1 || image->channels > 4)
        return cbm_media_fail(w.message, CBM_ERROR_INVALID, "cannot write '%s': the image is empty", path);
    w.status = cbm_image_check_size(image->width, image->height, w.message);
    if (w.status != CBM_OK)
        return w.status;
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, w.message, on_error, on_warning);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (info)
        write_image(png, info, &w);
    else
        w.status = cbm_media_fail(w.message, CBM_ERROR_MEMORY, "no memory to write a PNG image");
    png_destroy_write_struct(&png, &info);
    if (w.status == CBM_OK)
        w.status = cbm_media_write_file(path, w.bytes, w.size, w.message);
    free(w.bytes);
    return w.status;
}
