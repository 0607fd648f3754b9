/* media_internal.h: what the files of cambium-media share: messages, the two decoders, atomic writing, ticks. */
#ifndef CAMBIUM_MEDIA_INTERNAL_H
#define CAMBIUM_MEDIA_INTERNAL_H

#include "media.h"

/* Keeps the formatted sentence (message may be NULL) and returns status. */
cbm_status cbm_media_fail(cbm_media_message *message, cbm_status status, const char *format, ...) CBM_PRINTF(3, 4);

/* Decoders of a whole file in memory; *image is empty on entry and set on success only. */
cbm_status cbm_png_decode(const uint8_t *bytes, size_t size, cbm_image *image, cbm_media_message *message);
cbm_status cbm_jpeg_decode(const uint8_t *bytes, size_t size, cbm_image *image, cbm_media_message *message);

/* CBM_OK if an image of this size is within the limits. */
cbm_status cbm_image_check_size(int64_t width, int64_t height, cbm_media_message *message);

/* Writes to a temporary name beside path, syncs, renames. */
cbm_status cbm_media_write_file(const char *path, const void *bytes, size_t size, cbm_media_message *message);

/* Ticks of an axis: round numbers (1, 2, 2.5 or 5 times a power of ten) that cover [low, high]. */
#define CBM_MAX_TICKS 64
typedef struct cbm_ticks {
    size_t count;
    double at[CBM_MAX_TICKS];
    char label[CBM_MAX_TICKS][24];
} cbm_ticks;
/* About `wanted` ticks inside [low, high]; whole: on whole numbers only. */
void cbm_ticks_linear(double low, double high, size_t wanted, bool whole, cbm_ticks *ticks);
/* Powers of ten inside [low, high] (both > 0), with 2 and 5 times them where there are few. */
void cbm_ticks_log(double low, double high, cbm_ticks *ticks);
/* A round step such that (high - low) / step is about wanted. */
double cbm_round_step(double low, double high, size_t wanted);
/* value with this many digits after the point, whatever the locale. */
void cbm_number_text(double value, int digits, char *text, size_t size);

#endif
