/* Tar files of pictures: whatever the bytes are, shards that can be gone through come out, or a message and none. */
#define _GNU_SOURCE
#include "media/media.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

enum { SIDE = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    const char *const paths[] = { path };
    cbm_image_shards *shards;
    cbm_media_message message;
    uint8_t planes[SIDE * SIDE];
    int file = memfd_create("shard", MFD_CLOEXEC);
    if (file < 0 || write(file, data, size) != (ssize_t)size)
        abort();
    snprintf(path, sizeof path, "/proc/self/fd/%d", file);
    if (cbm_image_shards_open(paths, 1, SIDE, SIDE, 1, &shards, &message) != CBM_OK && (shards || !message.text[0]))
        abort();
    for (int64_t i = 0; i < cbm_image_shards_count(shards); i++) {
        int64_t label = -1;
        if (cbm_image_shards_read(shards, i, planes, &label, &message) == CBM_OK
                ? label < 0 || label >= cbm_image_shards_classes(shards)
                : !message.text[0])
            abort();
    }
    cbm_image_shards_free(shards);
    close(file);
    return 0;
}
