/* image_folder.h: pictures in folders and in tar files as datasets: what joins cambium-media, which reads them, with libcambium. */
#ifndef CAMBIUM_IMAGE_FOLDER_H
#define CAMBIUM_IMAGE_FOLDER_H

#include <cambium/data.h>
#include <cambium/media.h>

#include <stdio.h>

static inline cbm_status cbm_image_folder_sample_(void *user, const cbm_sample_request *s)
{
    cbm_media_message message;
    const cbm_status status = cbm_image_folder_read((const cbm_image_folder *)user, s->index, (uint8_t *)s->input,
                                                    (int64_t *)s->target, &message);
    if (status != CBM_OK)
        snprintf(s->message, 256, "%.255s", message.text);
    return status;
}

static inline void cbm_image_folder_close_(void *user)
{
    cbm_image_folder_free((cbm_image_folder *)user);
}

/* What both datasets are alike in. */
static inline cbm_dataset *cbm_image_dataset_(cbm_context *cx, const char *name, int64_t count, int64_t classes,
                                              cbm_shape shape, cbm_read_sample_fn read, void *user,
                                              void (*destroy)(void *user))
{
    cbm_dataset_options o;
    cbm_dataset_options_init(&o);
    o.name = name;
    o.count = count;
    o.classes = classes;
    o.input_shape = shape;
    o.input_dtype = CBM_U8;
    o.read = read;
    o.user = user;
    o.destroy = destroy;
    return cbm_dataset_with(cx, &o);
}

/* The pictures below path, a folder a class (torchvision's ImageFolder): inputs (channels, height, width) u8, each scaled
   to cover that size and cut to its middle; targets i64, the classes in the order of their folders' names. channels is 1
   (grey) or 3 (RGB). Augment and normalise with cbm_dataset_transform. NULL on error. */
static inline cbm_dataset *cbm_image_folder_dataset(cbm_context *cx, const char *path, int64_t channels, int64_t height,
                                                    int64_t width)
{
    cbm_image_folder *folder;
    cbm_media_message message;
    if (cbm_context_status(cx) != CBM_OK)
        return NULL;
    const cbm_status status = cbm_image_folder_open(path, height, width, channels, &folder, &message);
    if (status != CBM_OK) {
        cbm_fail(cx, status, "[image_folder] %s", message.text);
        return NULL;
    }
    return cbm_image_dataset_(cx, path, cbm_image_folder_count(folder), cbm_image_folder_classes(folder),
                              CBM_SHAPE(channels, height, width), cbm_image_folder_sample_, folder,
                              cbm_image_folder_close_);
}

static inline cbm_status cbm_image_shards_sample_(void *user, const cbm_sample_request *s)
{
    cbm_media_message message;
    const cbm_status status = cbm_image_shards_read((const cbm_image_shards *)user, s->index, (uint8_t *)s->input,
                                                    (int64_t *)s->target, &message);
    if (status != CBM_OK)
        snprintf(s->message, 256, "%.255s", message.text);
    return status;
}

static inline void cbm_image_shards_close_(void *user)
{
    cbm_image_shards_free((cbm_image_shards *)user);
}

/* The pictures in tar files (see cbm_image_shards): inputs and targets as above. NULL on error. */
static inline cbm_dataset *cbm_image_shards_dataset(cbm_context *cx, const char *const *paths, size_t count,
                                                    int64_t channels, int64_t height, int64_t width)
{
    cbm_image_shards *shards;
    cbm_media_message message;
    if (cbm_context_status(cx) != CBM_OK)
        return NULL;
    const cbm_status status = cbm_image_shards_open(paths, count, height, width, channels, &shards, &message);
    if (status != CBM_OK) {
        cbm_fail(cx, status, "[image_shards] %s", message.text);
        return NULL;
    }
    return cbm_image_dataset_(cx, paths[0], cbm_image_shards_count(shards), cbm_image_shards_classes(shards),
                              CBM_SHAPE(channels, height, width), cbm_image_shards_sample_, shards,
                              cbm_image_shards_close_);
}

#endif
