/* sheets.c: CIFAR-10's binary files from PNG sheets: each row of a sheet is a picture, its 1024 pixels one after the other.
   Rests on cambium-media and Jansson. */
#include "fetch.h"
#include "media/media.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

enum { PICTURES = 10000, PLANE = 1024, CHANNELS = 3, RECORD = 1 + CHANNELS * PLANE };

/* The labels first, ..., first + PICTURES - 1 of a JSON array of numbers from 0 to 9. */
static bool read_labels(const char *folder, const char *name, size_t first, uint8_t labels[static PICTURES],
                        cbm_reason *reason)
{
    char path[CBM_PATH_ROOM];
    json_error_t error;
    if (!cbm_path_join(path, folder, name))
        return false;
    json_t *array = json_load_file(path, JSON_REJECT_DUPLICATES, &error);
    bool good = json_array_size(array) >= first + PICTURES;
    for (size_t i = 0; good && i < PICTURES; i++) {
        json_t *value = json_array_get(array, first + i);
        json_int_t label = json_is_integer(value) ? json_integer_value(value) : -1;
        good = label >= 0 && label <= 9;
        labels[i] = (uint8_t)label;
    }
    json_decref(array);
    if (!good)
        cbm_because(reason, "%s is not a list of labels", name);
    return good;
}

static bool write_records(const char *path, const cbm_image *sheet, const uint8_t labels[static PICTURES],
                          cbm_reason *reason)
{
    FILE *out = fopen(path, "wbx");
    bool good = out != NULL;
    uint8_t record[RECORD];
    for (size_t i = 0; good && i < PICTURES; i++) {
        const uint8_t *pixel = sheet->pixels + i * PLANE * (size_t)sheet->channels;
        record[0] = labels[i];
        for (size_t k = 0; k < PLANE; k++, pixel += sheet->channels)
            for (size_t c = 0; c < CHANNELS; c++)
                record[1 + c * PLANE + k] = pixel[c];
        good = fwrite(record, sizeof record, 1, out) == 1;
    }
    if (out && fclose(out) != 0)
        good = false;
    if (!good)
        cbm_because(reason, "cannot write '%.300s'", path);
    return good;
}

static bool convert_sheet(const char *folder, const char *stem, const uint8_t labels[static PICTURES],
                          cbm_reason *reason)
{
    char name[64], path[CBM_PATH_ROOM];
    cbm_image sheet = { 0 };
    cbm_media_message message = { "" };
    snprintf(name, sizeof name, "%s.png", stem);
    if (!cbm_path_join(path, folder, name))
        return false;
    bool good = cbm_image_read(path, &sheet, &message) == CBM_OK;
    if (!good) {
        cbm_because(reason, "%.390s", message.text);
    } else if (sheet.width * sheet.height != (int64_t)PICTURES * PLANE || sheet.channels < CHANNELS) {
        cbm_because(reason, "%s is no sheet of %d pictures in colour", name, PICTURES);
        good = false;
    }
    snprintf(name, sizeof name, "%s.bin", stem);
    good = good && cbm_path_join(path, folder, name) && write_records(path, &sheet, labels, reason);
    cbm_image_free(&sheet);
    return good;
}

bool cbm_cifar_from_sheets(const char *folder, cbm_reason *reason)
{
    uint8_t *labels = malloc(PICTURES);
    bool good = labels != NULL;
    if (!good)
        cbm_because(reason, "no memory");
    for (size_t i = 0; good && i <= 5; i++) {
        char stem[32] = "test_batch";
        if (i < 5)
            snprintf(stem, sizeof stem, "data_batch_%zu", i + 1);
        good = read_labels(folder, i < 5 ? "train_lables.json" : "test_lables.json", i < 5 ? i * PICTURES : 0, labels,
                           reason) &&
               convert_sheet(folder, stem, labels, reason);
        if (good && cbm_interrupted()) {
            cbm_because(reason, "interrupted");
            good = false;
        }
    }
    free(labels);
    return good;
}
