/* PNG and JPEG: whatever the bytes are, an image within the limits comes out, or a message and no image. */
#include "media/media.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cbm_image image;
    cbm_media_message message;
    cbm_status status = cbm_image_read_memory(data, size, &image, &message);
    if (status != CBM_OK) {
        if (image.pixels || !message.text[0])
            abort();
        return 0;
    }
    if (!image.pixels || image.width < 1 || image.height < 1 || image.width * image.height > CBM_IMAGE_MAX_PIXELS)
        abort();
    cbm_image grey;
    if (image.width * image.height < 1 << 16 && cbm_image_to_grey(&image, &grey, &message) == CBM_OK)
        cbm_image_free(&grey);
    cbm_image_free(&image);
    return 0;
}
