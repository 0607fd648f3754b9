/* image_folder.h: pictures in folders as a dataset: what joins cambium-media, which reads them, with libcambium. */
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
    cbm_dataset_options o;
    cbm_dataset_options_init(&o);
    o.name = path;
    o.count = cbm_image_folder_count(folder);
    o.classes = cbm_image_folder_classes(folder);
    o.input_shape = CBM_SHAPE(channels, height, width);
    o.input_dtype = CBM_U8;
    o.read = cbm_image_folder_sample_;
    o.user = folder;
    o.destroy = cbm_image_folder_close_;
    return cbm_dataset_with(cx, &o);
}

#endif
