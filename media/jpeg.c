/* jpeg.c: JPEG from memory. Rests on libjpeg-turbo, whose error_exit is replaced: errors come back by longjmp into the
   one function that set the jump, and nothing is printed. */
#include "media_internal.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jpeglib.h>
#include <jerror.h>

enum { MAX_SCANS = 200 }; /* of a progressive file; more are an attempt to keep the decoder busy */

typedef struct reader {
    struct jpeg_error_mgr errors; /* first: libjpeg's pointer to it is ours */
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    struct jpeg_decompress_struct jpeg;
    const uint8_t *bytes;
    size_t size;
    cbm_image *image;
    uint8_t *row; /* of four inks */
    cbm_media_message *message;
    cbm_status status;
} reader;

_Noreturn static void on_error(j_common_ptr info)
{
    reader *r = (reader *)info->err;
    char text[JMSG_LENGTH_MAX];
    info->err->format_message(info, text);
    if (!r->message->text[0])
        cbm_media_fail(r->message, CBM_ERROR_FORMAT, "JPEG: %s", text);
    r->status = CBM_ERROR_FORMAT;
    longjmp(r->jump, 1);
}

/* libjpeg calls a cut file a warning and paints the rest grey; here it is an error. */
static void on_message(j_common_ptr info, int level)
{
    if (level >= 0)
        return;
    info->err->num_warnings++;
    if (info->err->msg_code != JWRN_JPEG_EOF && info->err->msg_code != JWRN_HIT_MARKER)
        return;
    reader *r = (reader *)info->err;
    cbm_media_fail(r->message, CBM_ERROR_FORMAT, "JPEG: the file is cut short or damaged");
    r->status = CBM_ERROR_FORMAT;
    longjmp(r->jump, 1);
}

static void on_output(j_common_ptr info)
{
    (void)info;
}

static void on_progress(j_common_ptr info)
{
    reader *r = (reader *)info->err;
    if (r->jpeg.input_scan_number <= MAX_SCANS)
        return;
    cbm_media_fail(r->message, CBM_ERROR_FORMAT, "JPEG: more than %d scans", MAX_SCANS);
    r->status = CBM_ERROR_FORMAT;
    longjmp(r->jump, 1);
}

/* Cyan, magenta, yellow, black to RGB. Adobe writes the inks inverted. */
static void inks_to_rgb(const uint8_t *inks, uint8_t *rgb, int64_t pixels, bool inverted)
{
    for (int64_t i = 0; i < pixels; i++)
        for (int k = 0; k < 3; k++) {
            int ink = inks[4 * i + k], black = inks[4 * i + 3];
            rgb[3 * i + k] = (uint8_t)(inverted ? ink * black / 255 : (255 - ink) * (255 - black) / 255);
        }
}

static void read_image(reader *r)
{
    if (setjmp(r->jump))
        return;
    struct jpeg_decompress_struct *jpeg = &r->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->mem->max_memory_to_use = 512L << 20;
    jpeg->progress = &r->progress;
    r->progress.progress_monitor = on_progress;
    jpeg_mem_src(jpeg, r->bytes, (unsigned long)r->size);
    jpeg_read_header(jpeg, TRUE);
    r->status = cbm_image_check_size((int64_t)jpeg->image_width, (int64_t)jpeg->image_height, r->message);
    if (r->status != CBM_OK)
        return;
    bool inks = jpeg->num_components == 4;
    jpeg->out_color_space = inks ? JCS_CMYK : jpeg->num_components == 1 ? JCS_GRAYSCALE : JCS_RGB;
    jpeg_start_decompress(jpeg);
    int64_t width = (int64_t)jpeg->output_width, height = (int64_t)jpeg->output_height;
    int64_t channels = inks ? 3 : (int64_t)jpeg->output_components;
    r->status = cbm_image_new(width, height, channels, r->image, r->message);
    if (r->status != CBM_OK)
        return;
    r->row = inks ? malloc((size_t)width * 4) : NULL;
    if (inks && !r->row) {
        r->status = cbm_media_fail(r->message, CBM_ERROR_MEMORY, "no memory to read a JPEG image");
        return;
    }
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *out = r->image->pixels + (int64_t)jpeg->output_scanline * width * channels;
        JSAMPROW row = inks ? r->row : out;
        jpeg_read_scanlines(jpeg, &row, 1);
        if (inks)
            inks_to_rgb(r->row, out, width, jpeg->saw_Adobe_marker);
    }
    jpeg_finish_decompress(jpeg);
}

cbm_status cbm_jpeg_decode(const uint8_t *bytes, size_t size, cbm_image *image, cbm_media_message *message)
{
    cbm_media_message unused = { "" };
    reader *r = calloc(1, sizeof *r);
    if (!r)
        return cbm_media_fail(message, CBM_ERROR_MEMORY, "no memory to read a JPEG image");
    r->bytes = bytes;
    r->size = size;
    r->image = image;
    r->message = message ? message : &unused;
    r->message->text[0] = 0;
    r->jpeg.err = jpeg_std_error(&r->errors);
    r->errors.error_exit = on_error;
    r->errors.emit_message = on_message;
    r->errors.output_message = on_output;
    read_image(r);
    jpeg_destroy_decompress(&r->jpeg);
    cbm_status status = r->status;
    free(r->row);
    free(r);
    if (status != CBM_OK)
        cbm_image_free(image);
    return status;
}
