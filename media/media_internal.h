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

/* planes.c: is an ending .png, .jpg or .jpeg, in any case? Whether planes of that size can be; an image scaled to cover height x width, cut to
   its middle, as planes (channels, height, width). */
bool cbm_is_picture_ending(const char *ending);
cbm_status cbm_planes_check(int64_t height, int64_t width, int64_t channels, cbm_media_message *message);
cbm_status cbm_image_to_planes(const cbm_image *image, int64_t height, int64_t width, int64_t channels, uint8_t *planes,
                               cbm_media_message *message);

/* tar.c: the members of an archive (ustar, with GNU's and POSIX's long names) that are regular files, in order. name holds
   until the next call. */
typedef struct cbm_tar {
    int fd;
    int64_t size, at; /* of the file; of the next header */
    char name[4096];  /* of the member */
    int64_t offset, bytes;
} cbm_tar;
/* false: the end, or an error, which status tells. */
bool cbm_tar_next(cbm_tar *tar, cbm_status *status, cbm_media_message *message);

/* A regular file to be read: its descriptor, to be closed, and size; below 0: the message says why. */
int cbm_media_open(const char *path, int64_t *size, cbm_media_message *message);
/* So many bytes from there on; false: they cannot be read, or are not there. */
bool cbm_media_read_at(int fd, void *bytes, size_t size, int64_t offset);
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
