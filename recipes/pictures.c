/* pictures.c: pictures that recipes leave in their run's folder. */
#include "recipe.h"

bool cbm_recipe_image(cbm_context *cx, const char *who, int64_t width, int64_t height, int64_t channels,
                      cbm_image *image)
{
    cbm_media_message message;
    const cbm_status status = cbm_image_new(width, height, channels, image, &message);
    if (status != CBM_OK)
        cbm_fail(cx, status, "[%s] %s", who, message.text);
    return status == CBM_OK;
}

static cbm_status report(cbm_context *cx, const char *who, cbm_status status, const cbm_media_message *message,
                         const char *path, FILE *out)
{
    if (status != CBM_OK)
        return cbm_fail(cx, status, "[%s] %s", who, message->text);
    fprintf(out, "picture: %s\n", path);
    return CBM_OK;
}

cbm_status cbm_recipe_keep_image(cbm_context *cx, const char *who, cbm_image *image, const cbm_frame *frame,
                                 const char *run_dir, const char *file, FILE *out)
{
    char path[1024];
    cbm_media_message message;
    cbm_image framed = { 0 };
    snprintf(path, sizeof path, "%s/%s", run_dir, file);
    cbm_status status = frame ? cbm_image_frame(image, frame, &framed, &message) : CBM_OK;
    if (status == CBM_OK)
        status = cbm_image_write_png(frame ? &framed : image, path, &message);
    cbm_image_free(&framed);
    cbm_image_free(image);
    return report(cx, who, status, &message, path, out);
}

cbm_status cbm_recipe_keep_plot(cbm_context *cx, const char *who, const cbm_plot *plot, const char *run_dir,
                                const char *file, FILE *out)
{
    char path[1024];
    cbm_media_message message;
    snprintf(path, sizeof path, "%s/%s", run_dir, file);
    return report(cx, who, cbm_plot_write(plot, path, &message), &message, path, out);
}
