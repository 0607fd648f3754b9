/* Tables: the first byte chooses CSV (with or without a header), LIBSVM, or lines. */
#include "fuzz/parse.h"

static void look(const cbm_table *t)
{
    cbm_column column;
    volatile double sum = 0;
    for (int64_t c = 0; cbm_table_column(t, c, &column); ++c) {
        sum = sum + column.mean + (double)column.name[0];
        for (int64_t row = 0; row < cbm_table_rows(t); ++row) {
            const double x = cbm_table_number(t, row, c);
            if (column.categories && x >= 0 && !cbm_table_category(t, c, (int64_t)x))
                abort();
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cbm_context *cx = fuzz_context();
    const int kind = size ? data[0] % 4 : 0;
    const uint8_t *bytes = data + (size > 0);
    const size_t rest = size - (size > 0);
    bool refused;
    if (kind < 2) {
        cbm_table *t = cbm_csv_read_memory(cx, bytes, rest, .no_header = kind == 1, .comment = '#');
        refused = t == NULL;
        look(t);
        cbm_dataset *d = t ? cbm_table_dataset(t, .missing = CBM_MISSING_MEAN) : NULL;
        refused = refused || d == NULL;
        cbm_dataset_release(d);
        cbm_table_release(t);
    } else if (kind == 2) {
        cbm_dataset *d = cbm_libsvm_memory(cx, bytes, rest);
        refused = d == NULL;
        cbm_dataset_release(d);
    } else {
        cbm_lines *l = cbm_lines_read_memory(cx, bytes, rest);
        refused = l == NULL;
        size_t length, total = 0;
        for (int64_t i = 0; cbm_lines_at(l, i, &length); ++i)
            total += length;
        if (total > rest)
            abort();
        cbm_lines_release(l);
    }
    fuzz_end(cx, refused);
    return 0;
}
