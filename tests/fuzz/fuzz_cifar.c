/* CIFAR's binary files, both versions: read as a dataset, first and last sample, as they are and augmented. */
#include "fuzz/parse.h"
#include "io/cifar.h"

static void read_samples(cbm_context *cx, cbm_dataset *d)
{
    int64_t count = cbm_dataset_count(d), at[2] = { 0, count - 1 };
    for (int i = 0; i < 2 && count > 0; ++i) {
        cbm_tensor *input, *target;
        if (cbm_dataset_get(d, at[i], &input, &target) != CBM_OK)
            abort();
        fuzz_tensor(cx, input);
        fuzz_tensor(cx, target);
        if (cbm_item(target) < 0 || cbm_item(target) >= (double)cbm_dataset_classes(d))
            abort();
    }
    cbm_dataset_release(d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    cbm_context *cx = fuzz_context();
    CBM_SCOPE(scope, cx);
    for (int hundred = 0; hundred < 2; ++hundred) {
        const cbm_cifar_options raw = {
            .struct_size = sizeof raw, .coarse = size % 2 && hundred, .mean = { 0 }, .deviation = { 1, 1, 1 }
        };
        cbm_dataset *d = cbm_cifar_memory(cx, data, size, hundred, &raw);
        cbm_dataset *augmented = cbm_dataset_transform(d, cbm_random_crop(4), cbm_random_flip());
        if (!d != (cbm_context_status(cx) != CBM_OK) || !d != !augmented)
            abort();
        if (d) {
            read_samples(cx, augmented);
            read_samples(cx, d);
        }
        fuzz_end(cx, !d);
    }
    return 0;
}
