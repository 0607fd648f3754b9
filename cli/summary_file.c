/* summary_file.c: `cambium summary FILE`: the tensors in a file of weights. */
#include "cli.h"

#include <string.h>

static int file_json(const char *path, const cbm_safetensors *file)
{
    cbm_file_tensor t;
    int64_t elements = 0, bytes = 0;
    cbm_json j = { 0 };
    cbm_json_object(&j, NULL);
    cbm_json_text(&j, "file", path);
    cbm_json_array(&j, "tensors");
    for (size_t i = 0; cbm_safetensors_at(file, i, &t); i++) {
        int64_t count = cbm_shape_count(&t.shape);
        elements += count;
        bytes += (int64_t)t.bytes;
        cbm_json_object(&j, NULL);
        cbm_json_text(&j, "name", t.name);
        cbm_json_text(&j, "dtype", t.type);
        cbm_json_shape(&j, "shape", &t.shape);
        cbm_json_int(&j, "parameters", count);
        cbm_json_int(&j, "bytes", (int64_t)t.bytes);
        cbm_json_close(&j);
    }
    cbm_json_close(&j);
    cbm_json_int(&j, "parameters", elements);
    cbm_json_int(&j, "bytes", bytes);
    return cbm_json_end(&j, stdout);
}

static void file_table(const char *path, const cbm_safetensors *file)
{
    cbm_file_tensor t;
    int widest = 4, widest_shape = 5;
    int64_t elements = 0;
    double bytes = 0;
    char shape[160], a[32], b[32];
    for (size_t i = 0; cbm_safetensors_at(file, i, &t); i++) {
        int n = (int)strnlen(t.name, 60), m = (int)strlen(cbm_text_shape(&t.shape, shape));
        widest = n > widest ? n : widest;
        widest_shape = m > widest_shape ? m : widest_shape;
    }
    cbm_print_safe(stdout, path);
    printf(": %zu tensors\n\n%-*s  %-5s  %-*s  %14s  %10s\n", cbm_safetensors_count(file), widest, "name", "dtype",
           widest_shape, "shape", "parameters", "bytes");
    for (size_t i = 0; cbm_safetensors_at(file, i, &t); i++) {
        int64_t count = cbm_shape_count(&t.shape);
        int used = cbm_print_safe(stdout, t.name);
        printf("%*s  %-5s  %-*s  %14s  %10s\n", widest > used ? widest - used : 0, "", t.type, widest_shape,
               cbm_text_shape(&t.shape, shape), cbm_text_count(count, a), cbm_text_bytes((double)t.bytes, b));
        elements += count;
        bytes += (double)t.bytes;
    }
    printf("\n%-*s  %-5s  %-*s  %14s  %10s\n", widest, "total", "", widest_shape, "", cbm_text_count(elements, a),
           cbm_text_bytes(bytes, b));
}

int cbm_summarise_file(cbm_context *cx, const char *path, bool json)
{
    cbm_safetensors *file = cbm_safetensors_open(cx, path);
    if (cbm_context_status(cx) != CBM_OK)
        return cbm_report_context(cx);
    int code = CBM_EXIT_OK;
    if (json)
        code = file_json(path, file);
    else
        file_table(path, file);
    cbm_safetensors_close(file);
    return code;
}
