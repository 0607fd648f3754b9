/* media.h: pictures. Reading PNG and JPEG, converting and resizing, writing PNG, and drawing plots. The library is
   cambium-media; it rests on libpng, libjpeg-turbo and cairo and on nothing of libcambium but its status codes. Each
   function returns a status and, when a message is given, one sentence that says what is wrong. */
#ifndef CAMBIUM_MEDIA_H
#define CAMBIUM_MEDIA_H

#include <cambium/common.h>

CBM_BEGIN_DECLS

/* What went wrong; "" if nothing did. Every function below accepts NULL in its place. */
typedef struct cbm_media_message {
    char text[512];
} cbm_media_message;

/* Eight bits a sample, rows from the top, samples of a pixel side by side. channels: 1 grey, 2 grey and alpha, 3 RGB,
   4 RGB and alpha. pixels holds width * height * channels bytes and is freed by cbm_image_free. */
typedef struct cbm_image {
    int64_t width, height, channels;
    uint8_t *pixels;
} cbm_image;

#define CBM_IMAGE_MAX_SIDE INT64_C(32768)             /* pixels along one side */
#define CBM_IMAGE_MAX_PIXELS (INT64_C(1) << 26)       /* pixels in all */
#define CBM_IMAGE_MAX_FILE_BYTES (INT64_C(256) << 20) /* bytes of a file */

/* Reads a PNG or JPEG file; which one it is, its first bytes decide. Sizes over the limits above, truncated files and
   broken ones are refused (CBM_ERROR_FORMAT) before the pixels are allocated where the header tells. On failure *image
   is empty. */
CBM_API cbm_status cbm_image_read(const char *path, cbm_image *image, cbm_media_message *message);
CBM_API cbm_status cbm_image_read_memory(const void *bytes, size_t size, cbm_image *image, cbm_media_message *message);

/* A new image with all samples 0. */
CBM_API cbm_status cbm_image_new(int64_t width, int64_t height, int64_t channels, cbm_image *image,
                                 cbm_media_message *message);
CBM_API void cbm_image_free(cbm_image *image);

/* One channel: ITU-R BT.601 luma, 0.299 R + 0.587 G + 0.114 B; transparent parts show black. */
CBM_API cbm_status cbm_image_to_grey(const cbm_image *image, cbm_image *grey, cbm_media_message *message);
/* Three channels; transparent parts show black. */
CBM_API cbm_status cbm_image_to_rgb(const cbm_image *image, cbm_image *rgb, cbm_media_message *message);
/* Another size, by a triangle filter that widens when shrinking, so that fine detail is averaged and not skipped. */
CBM_API cbm_status cbm_image_resize(const cbm_image *image, int64_t width, int64_t height, cbm_image *resized,
                                    cbm_media_message *message);
/* 255 - sample, alpha left as it is. */
CBM_API void cbm_image_invert(cbm_image *image);

/* Writes a PNG under a temporary name, syncs and renames it: path holds the old file or the whole new one. */
CBM_API cbm_status cbm_image_write_png(const cbm_image *image, const char *path, cbm_media_message *message);

/* Words around a picture, dark on white: a title above, the names of its rows at the left, of its columns above it. Rows and
   columns share the picture evenly; a name may have several lines. */
typedef struct cbm_frame {
    const char *title;       /* NULL: none */
    const char *const *rows; /* row_count names, 0 to 4096 */
    size_t row_count;
    const char *const *columns;
    size_t column_count;
} cbm_frame;
/* A new RGB image, as much larger as the words need; the picture's own pixels are copied, without its alpha. */
CBM_API cbm_status cbm_image_frame(const cbm_image *picture, const cbm_frame *frame, cbm_image *framed,
                                   cbm_media_message *message);

/* ---- pictures in folders ---- */

/* The PNG and JPEG files in the folders below one folder; each of these is a class. image_folder.h makes a dataset of it. */
typedef struct cbm_image_folder cbm_image_folder;

/* Lists the pictures (.png, .jpg, .jpeg), classes and files in the order of their names; hidden ones are passed over. They
   are read in the size height x width with 1 channel (grey) or 3 (RGB). On failure *folder is NULL; no pictures are one. */
CBM_API cbm_status cbm_image_folder_open(const char *path, int64_t height, int64_t width, int64_t channels,
                                         cbm_image_folder **folder, cbm_media_message *message);
CBM_API void cbm_image_folder_free(cbm_image_folder *folder);
CBM_API int64_t cbm_image_folder_count(const cbm_image_folder *folder);
CBM_API int64_t cbm_image_folder_classes(const cbm_image_folder *folder);
CBM_API const char *cbm_image_folder_class(const cbm_image_folder *folder, int64_t label); /* NULL: no such class */
CBM_API const char *cbm_image_folder_path(const cbm_image_folder *folder, int64_t index);  /* NULL: no such picture */
/* Reads picture index, scaled to cover the size and cut to its middle, into planes (channels, height, width), and its
   class. Several threads may read at once. */
CBM_API cbm_status cbm_image_folder_read(const cbm_image_folder *folder, int64_t index, uint8_t *planes, int64_t *label,
                                         cbm_media_message *message);

/* ---- pictures in tar files ---- */

/* Shards as WebDataset has them: plain tar files in which the members of a sample follow one another and are called alike up
   to the first dot of the last part of their names: "a/0001.jpg", "a/0001.cls". A sample is a picture (.png, .jpg, .jpeg) and
   its class, a whole number from 0 on as text (.cls); members with other endings, from the first dot on, are passed over.
   Nothing is unpacked: pictures are read where they lie. image_folder.h makes a dataset of it. */
typedef struct cbm_image_shards cbm_image_shards;
/* Goes through the headers of all files. Archives that are cut off, damaged or packed, samples with two pictures, without a picture
   or without a class, and classes that are no number from 0 to 999,999 are errors that name the file and the member. */
CBM_API cbm_status cbm_image_shards_open(const char *const *paths, size_t count, int64_t height, int64_t width,
                                         int64_t channels, cbm_image_shards **shards, cbm_media_message *message);
CBM_API void cbm_image_shards_free(cbm_image_shards *shards);
CBM_API int64_t cbm_image_shards_count(const cbm_image_shards *shards);
CBM_API int64_t cbm_image_shards_classes(const cbm_image_shards *shards); /* the largest class and 1 */
/* As cbm_image_folder_read. */
CBM_API cbm_status cbm_image_shards_read(const cbm_image_shards *shards, int64_t index, uint8_t *planes, int64_t *label,
                                         cbm_media_message *message);

/* ---- plots ---- */

typedef enum cbm_series_style {
    CBM_SERIES_LINE = 0,
    CBM_SERIES_POINTS = 1,
    CBM_SERIES_LINE_POINTS = 2
} cbm_series_style;

#define CBM_COLOR_AUTO (-1) /* the next colour of the palette */

/* count points; one that is not finite leaves a gap in the line. label NULL: not in the legend. */
typedef struct cbm_series {
    const char *label;
    const double *x, *y;
    size_t count;
    cbm_series_style style;
    int64_t color; /* 0xRRGGBB, or CBM_COLOR_AUTO */
    double width;  /* of the line in pixels; 0: 2 */
    bool dashed;
} cbm_series;

/* One pair of axes. A range with minimum == maximum is chosen from the data. */
typedef struct cbm_panel {
    const char *title, *x_label, *y_label; /* NULL: none */
    const cbm_series *series;
    size_t series_count;
    double x_minimum, x_maximum, y_minimum, y_maximum;
    bool log_x, log_y;          /* values <= 0 are left out */
    bool y_from_zero;           /* an automatic range begins at 0 */
    bool whole_x;               /* x counts something, epochs say: ticks on whole numbers only */
    const char *const *x_names; /* instead of them: what x = 1, 2, ... x_name_count stands for; NULL: numbers */
    size_t x_name_count;
    const double *marks; /* thin vertical lines at these x */
    size_t mark_count;
} cbm_panel;

typedef struct cbm_plot {
    const char *title; /* over all panels; NULL: none */
    const cbm_panel *panels;
    size_t panel_count;
    size_t columns;        /* panels side by side; 0: all in one row */
    int64_t width, height; /* pixels; 0: 640 by 440 for each panel */
} cbm_plot;

/* Draws the plot into a new RGB image, or into a PNG file (written like cbm_image_write_png's). */
CBM_API cbm_status cbm_plot_draw(const cbm_plot *plot, cbm_image *image, cbm_media_message *message);
CBM_API cbm_status cbm_plot_write(const cbm_plot *plot, const char *path, cbm_media_message *message);

CBM_END_DECLS

#endif
