/* data.h: datasets (numbered samples), transforms that augment them, and the loader that makes batches of them: shuffled,
   read ahead by worker threads, repeatable, and able to continue from a saved position. */
#ifndef CAMBIUM_DATA_H
#define CAMBIUM_DATA_H

#include <cambium/tensor.h>

CBM_BEGIN_DECLS

/* One sample to be read. input and target point to memory for exactly one sample each, row-major, of the dataset's
   shapes and dtypes; target is NULL where the dataset has no targets. seed and epoch are the loader's: a source that
   augments its samples draws its random numbers from (seed, epoch, index) alone, so that runs repeat bit for bit. */
typedef struct cbm_sample_request {
    int64_t index;
    int64_t epoch;
    uint64_t seed;
    void *input;
    void *target;
    char *message; /* on failure: 256 bytes for the reason */
    void *
        scratch; /* the dataset's scratch_bytes for this thread alone, aligned to 64 bytes; holds nothing to begin with */
    /* Of variable samples (see cbm_dataset_options): where read says how many entries of the first axis it has written;
       whole to begin with. */
    int64_t *input_length, *target_length;
} cbm_sample_request;

/* Reads a sample. Called from worker threads, several at a time: it may look at what user points to, but must not touch
   a context. Anything but CBM_OK ends the batch: cbm_next reports it with the sample's index. */
typedef cbm_status (*cbm_read_sample_fn)(void *user, const cbm_sample_request *sample);

/* A user's own dataset. */
typedef struct cbm_dataset_options {
    uint64_t struct_size;
    const char *name CBM_DEFAULT("dataset"); /* for messages; copied */
    int64_t count CBM_DEFAULT(0);            /* samples */
    cbm_shape input_shape CBM_DEFAULT({});   /* of one sample, without the batch axis; CBM_SHAPE() is a scalar */
    int64_t input_dtype CBM_DEFAULT(CBM_F32);
    cbm_shape target_shape CBM_DEFAULT({});
    int64_t target_dtype CBM_DEFAULT(CBM_I64);
    uint64_t no_target CBM_DEFAULT(0); /* 1: samples have no targets; a batch's target is NULL */
    int64_t classes CBM_DEFAULT(0);    /* of a classification target: labels are 0 .. classes - 1; 0: not said */
    cbm_read_sample_fn read CBM_DEFAULT(NULL);
    void *user CBM_DEFAULT(NULL);
    void (*destroy)(void *user) CBM_DEFAULT(NULL); /* called when the dataset is released, also when making it failed */
    int64_t scratch_bytes CBM_DEFAULT(0);          /* memory that read needs while it reads one sample */
    /* 1: samples differ in the extent of their first axis, of which the shape gives the most. A batch is as long as its
       longest sample; behind the end of the others stands the padding. */
    uint64_t variable_input CBM_DEFAULT(0);
    uint64_t variable_target CBM_DEFAULT(0);
    double input_padding CBM_DEFAULT(0);
    double target_padding CBM_DEFAULT(0);
} cbm_dataset_options;
CBM_API void cbm_dataset_options_init(cbm_dataset_options *options);

/* Makes a dataset from a source of samples. It belongs to the context. NULL on error (the context says why); NULL may
   be passed on: every function of this header accepts it and does nothing. */
CBM_API cbm_dataset *cbm_dataset_with(cbm_context *cx, const cbm_dataset_options *options);

/* Samples in memory: row i of inputs with row i of targets (NULL: none). Both are read now (computed if needed) and
   copied. For i64 targets of one element a sample, classes is found from the largest. */
CBM_API cbm_dataset *cbm_dataset_tensors(cbm_context *cx, cbm_tensor *inputs, cbm_tensor *targets);

/* ---- datasets made of others, which they keep alive ---- */

/* Samples first .. first + count - 1. */
CBM_API cbm_dataset *cbm_dataset_part(cbm_dataset *dataset, int64_t first, int64_t count);
/* The samples with these indices, in this order; an index may appear several times. The list is copied. */
CBM_API cbm_dataset *cbm_dataset_subset(cbm_dataset *dataset, const int64_t *indices, int64_t count);
/* One after the other. Their samples have the same shapes and dtypes; classes is the most of theirs. */
CBM_API cbm_dataset *cbm_dataset_concat(cbm_dataset *const *datasets, size_t count);
/* Disjoint random parts of sizes[0], sizes[1], ... samples, together at most all: parts receives count datasets (NULL after
   an error). The order follows from seed alone. */
CBM_API cbm_status cbm_dataset_split(cbm_dataset *dataset, const int64_t *sizes, size_t count, uint64_t seed,
                                     cbm_dataset **parts);
/* k-fold cross-validation: the samples in an order from seed are cut into folds pieces, the first ones longer by one where
   it does not come out even; validation receives piece number fold (from 0), train the others. */
CBM_API cbm_status cbm_dataset_fold(cbm_dataset *dataset, int64_t folds, int64_t fold, uint64_t seed,
                                    cbm_dataset **train, cbm_dataset **validation);

typedef enum cbm_split { CBM_TRAIN = 0, CBM_TEST = 1 } cbm_split;

/* Images of bytes become (x / 255 - mean) / deviation in f32; labels become i64. */
typedef struct cbm_image_options {
    uint64_t struct_size;
    uint64_t normalise CBM_DEFAULT(1); /* 0: the bytes as they are, u8 */
    double mean CBM_DEFAULT(0.1307);
    double deviation CBM_DEFAULT(0.3081);
    int64_t classes CBM_DEFAULT(10); /* a label outside 0 .. classes - 1 is an error when opening */
} cbm_image_options;
CBM_API void cbm_image_options_init(cbm_image_options *options);

/* MNIST, or a set of the same files: inputs (1, 28, 28) f32, targets i64 scalars. Looks in directory, then in
   directory/MNIST/raw, for train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte,
   t10k-labels-idx1-ubyte, plain or with .gz. */
CBM_API cbm_dataset *cbm_mnist_with(cbm_context *cx, const char *directory, cbm_split split,
                                    const cbm_image_options *options);
/* A pair of IDX files (plain or gzip) of images (count, rows, columns) u8 and labels (count) u8: inputs
   (1, rows, columns). */
CBM_API cbm_dataset *cbm_idx_dataset_with(cbm_context *cx, const char *images, const char *labels,
                                          const cbm_image_options *options);

/* CIFAR: inputs (3, 32, 32), red, green and blue planes, f32 by (x / 255 - mean) / deviation of their channel; targets i64
   scalars. The defaults are the training images' own mean and deviation. */
typedef struct cbm_cifar_options {
    uint64_t struct_size;
    uint64_t normalise CBM_DEFAULT(1); /* 0: the bytes as they are, u8, for transforms that end in cbm_normalize */
    uint64_t coarse CBM_DEFAULT(0);    /* CIFAR-100, 1: the 20 superclasses in place of the 100 classes */
    double mean[3] CBM_DEFAULT({ 0.4914, 0.4822, 0.4465 });
    double deviation[3] CBM_DEFAULT({ 0.2470, 0.2435, 0.2616 });
} cbm_cifar_options;
CBM_API void cbm_cifar_options_init(cbm_cifar_options *options);
/* CIFAR-10, or a set of the same files: records of a label byte and 3072 bytes of pixels. Looks in directory, then in
   directory/cifar-10-batches-bin, for data_batch_1.bin to data_batch_5.bin, or test_batch.bin. A file that is no whole
   number of records, and a label above 9, are errors. */
CBM_API cbm_dataset *cbm_cifar10_with(cbm_context *cx, const char *directory, cbm_split split,
                                      const cbm_cifar_options *options);
/* CIFAR-100: the same with two label bytes, the superclass (0 to 19) and the class (0 to 99). Looks in directory, then in
   directory/cifar-100-binary, for train.bin or test.bin. */
CBM_API cbm_dataset *cbm_cifar100_with(cbm_context *cx, const char *directory, cbm_split split,
                                       const cbm_cifar_options *options);

/* ---- transforms: what happens to a sample's input on its way from a dataset into a batch ---- */

/* One input under way: out is to be made from in, row-major both; they do not overlap. */
typedef struct cbm_transform_call {
    const void *in;
    void *out;
    const cbm_shape *in_shape, *out_shape; /* without a batch axis */
    cbm_dtype in_dtype, out_dtype;
    int64_t index, epoch; /* of the sample, and where the loader is */
    uint64_t seed;        /* the loader's */
    int64_t place;        /* of the transform among those that a sample passes, from 0 */
    char *message;        /* on failure: 256 bytes for the reason */
} cbm_transform_call;

/* The number-th random integer of this call, uniform in [0, limit). It follows from (seed, epoch, index, place, number)
   alone, so runs repeat bit for bit with any number of workers, also when resumed. number < 131072. */
CBM_API int64_t cbm_transform_random(const cbm_transform_call *call, int64_t number, int64_t limit);

#define CBM_TRANSFORM_PARAMETERS 16

/* A transform is a function with parameters. One of your own fills in what it needs and leaves the rest zero. */
typedef struct cbm_transform cbm_transform;
struct cbm_transform {
    const char *name; /* for messages; static text */
    /* Called from worker threads, several at a time; must not touch a context. */
    cbm_status (*apply)(const cbm_transform *self, const cbm_transform_call *call);
    /* Makes shape and dtype of an input those of its result, or refuses them with a message (256 bytes). NULL: they stay
       as they are. */
    cbm_status (*result)(const cbm_transform *self, cbm_shape *shape, cbm_dtype *dtype, char *message);
    double parameters[CBM_TRANSFORM_PARAMETERS];
    void *user;
};

/* A dataset whose inputs are those of another one after count transforms, in order. It keeps the other one alive. */
CBM_API cbm_dataset *cbm_dataset_transform_with(cbm_dataset *dataset, const cbm_transform *transforms, size_t count);

CBM_API const char *cbm_dataset_name(const cbm_dataset *dataset);
CBM_API cbm_context *cbm_dataset_context(const cbm_dataset *dataset);
CBM_API int64_t cbm_dataset_count(const cbm_dataset *dataset); /* samples; 0 for NULL */
CBM_API int64_t cbm_dataset_classes(const cbm_dataset *dataset);
CBM_API cbm_shape cbm_dataset_input_shape(const cbm_dataset *dataset); /* of one sample */
CBM_API cbm_shape cbm_dataset_target_shape(const cbm_dataset *dataset);
CBM_API cbm_dtype cbm_dataset_input_dtype(const cbm_dataset *dataset);
CBM_API cbm_dtype cbm_dataset_target_dtype(const cbm_dataset *dataset);
CBM_API bool cbm_dataset_has_target(const cbm_dataset *dataset);
/* One sample as tensors, without a batch axis, read as with seed 0 in epoch 0. target may be NULL. */
CBM_API cbm_status cbm_dataset_get(cbm_dataset *dataset, int64_t index, cbm_tensor **input, cbm_tensor **target);
/* Lets go of a dataset before its context closes. Loaders and parts that use it keep it alive. */
CBM_API void cbm_dataset_release(cbm_dataset *dataset);

/* ---- the loader ---- */

/* A user's own order: fills order with the count indices of an epoch's samples, each 0 to samples - 1. It follows from
   seed and epoch alone, or runs do not repeat. Called from the context's thread. message: 256 bytes for the reason of a
   failure. */
typedef cbm_status (*cbm_order_fn)(void *user, uint64_t seed, int64_t epoch, int64_t samples, int64_t *order,
                                   int64_t count, char *message);

typedef struct cbm_loader_options {
    uint64_t struct_size;
    int64_t batch_size CBM_DEFAULT(64);
    uint64_t shuffle CBM_DEFAULT(0);   /* 1: a new order each epoch, from (seed, epoch) alone */
    int64_t workers CBM_DEFAULT(1);    /* threads that read ahead; 0: cbm_next reads. The batches are the same. */
    int64_t prefetch CBM_DEFAULT(0);   /* batches read ahead; 0: 2 for each worker */
    uint64_t drop_last CBM_DEFAULT(0); /* 1: a last batch of fewer samples is left out */
    uint64_t seed CBM_DEFAULT(0);      /* of the order */
    /* Random samples in proportion to their weights, one for each sample of the dataset, at least 0, copied; with
       replacement, or each at most once in an epoch. In place of shuffle. */
    const double *weights CBM_DEFAULT(NULL);
    uint64_t no_replacement CBM_DEFAULT(0);
    cbm_order_fn order CBM_DEFAULT(NULL); /* an order of one's own, in place of shuffle and weights */
    void *order_user CBM_DEFAULT(NULL);
    int64_t draws CBM_DEFAULT(0); /* with weights or order: samples in an epoch; 0: as many as the dataset has */
    /* Several processes that train together: this one, rank, gets samples rank, rank + ranks, ... of each epoch's order.
       All get the same number: the first samples are repeated at the end, or with drop_last the last ones left out. */
    int64_t rank CBM_DEFAULT(0);
    int64_t ranks CBM_DEFAULT(1);
} cbm_loader_options;
CBM_API void cbm_loader_options_init(cbm_loader_options *options);

/* Opens a loader over a dataset; it belongs to the context, and keeps the dataset alive. NULL on error (an empty dataset
   is one). */
CBM_API cbm_loader *cbm_loader_open_with(cbm_dataset *dataset, const cbm_loader_options *options);

/* A batch: input (size, ...), target (size, ...). The tensors and samples are the loader's, valid until the next
   cbm_next; a tensor retained (cbm_set, cbm_retain) stays good for as long as it is held. */
typedef struct cbm_batch {
    cbm_tensor *input, *target;
    int64_t size;                               /* samples; less than the loader's batch size only in the last batch */
    int64_t index;                              /* of the batch in its epoch, from 0 */
    int64_t epoch;                              /* from 0 */
    const int64_t *samples;                     /* the samples' indices in the dataset, size of them */
    cbm_tensor *input_lengths, *target_lengths; /* (size) i64: of variable samples; otherwise NULL */
} cbm_batch;

/* The next batch. false at the end of an epoch (the next call begins the next one) and on error: ask
   cbm_context_status. In a failed context it returns false and consumes nothing. A sample that could not be read is
   reported with its index; after cbm_clear the loader goes on behind that batch. */
CBM_API bool cbm_next(cbm_loader *loader, cbm_batch *batch);

CBM_API int64_t cbm_loader_batches(const cbm_loader *loader); /* in an epoch */
CBM_API int64_t cbm_loader_samples(const cbm_loader *loader); /* handed out in a full epoch */
CBM_API int64_t cbm_loader_batch_size(const cbm_loader *loader);
CBM_API cbm_dataset *cbm_loader_dataset(const cbm_loader *loader);

/* Whether reading keeps up. A batch is waited for when it is not ready at cbm_next; the first one always is, unless there is
   time between opening the loader and asking. */
typedef struct cbm_loading {
    int64_t batches;     /* handed out since the loader was opened */
    int64_t waits;       /* of them, those waited for */
    double wait_seconds; /* all waits together */
    double longest_wait; /* in seconds */
} cbm_loading;
CBM_API cbm_loading cbm_loader_statistics(const cbm_loader *loader);

/* Where a loader stands, for checkpoints: batch batches of epoch have been handed out. The rest says which loader the
   position fits. */
typedef struct cbm_loader_position {
    int64_t epoch;
    int64_t batch;
    uint64_t seed;
    int64_t batch_size;
    int64_t samples; /* of an epoch of this loader */
    uint64_t shuffle, drop_last;
} cbm_loader_position;
CBM_API cbm_loader_position cbm_loader_state(const cbm_loader *loader);
/* Continues at position (its seed included): the batches that follow are those that followed when it was taken. An
   error if the loader's batch size, number of samples, shuffle or drop_last differ. */
CBM_API cbm_status cbm_loader_set_state(cbm_loader *loader, const cbm_loader_position *position);
/* Starts the current epoch again from its first batch, or another epoch. */
CBM_API void cbm_loader_rewind(cbm_loader *loader, int64_t epoch);
/* Stops the workers and lets go of the loader before its context closes. */
CBM_API void cbm_loader_close(cbm_loader *loader);

CBM_END_DECLS

#ifdef __cplusplus
static inline cbm_dataset *cbm_dataset_make(cbm_context *cx, const cbm_dataset_options &options)
{
    cbm_dataset_options o = options;
    o.struct_size = sizeof o;
    return cbm_dataset_with(cx, &o);
}
static inline cbm_dataset *cbm_mnist(cbm_context *cx, const char *directory, cbm_split split,
                                     const cbm_image_options &options = {})
{
    cbm_image_options o = options;
    o.struct_size = sizeof o;
    return cbm_mnist_with(cx, directory, split, &o);
}
static inline cbm_dataset *cbm_idx_dataset(cbm_context *cx, const char *images, const char *labels,
                                           const cbm_image_options &options = {})
{
    cbm_image_options o = options;
    o.struct_size = sizeof o;
    return cbm_idx_dataset_with(cx, images, labels, &o);
}
static inline cbm_dataset *cbm_cifar10(cbm_context *cx, const char *directory, cbm_split split,
                                       const cbm_cifar_options &options = {})
{
    cbm_cifar_options o = options;
    o.struct_size = sizeof o;
    return cbm_cifar10_with(cx, directory, split, &o);
}
static inline cbm_dataset *cbm_cifar100(cbm_context *cx, const char *directory, cbm_split split,
                                        const cbm_cifar_options &options = {})
{
    cbm_cifar_options o = options;
    o.struct_size = sizeof o;
    return cbm_cifar100_with(cx, directory, split, &o);
}
template <typename... T> static inline cbm_dataset *cbm_dataset_transform(cbm_dataset *dataset, T... transforms)
{
    const cbm_transform list[] = { transforms... };
    return cbm_dataset_transform_with(dataset, list, sizeof...(transforms));
}
static inline cbm_loader *cbm_loader_open(cbm_dataset *dataset, const cbm_loader_options &options = {})
{
    cbm_loader_options o = options;
    o.struct_size = sizeof o;
    return cbm_loader_open_with(dataset, &o);
}
#else
/* cbm_dataset_make(cx, .count = 100, .input_shape = CBM_SHAPE(3, 32, 32), .read = read_sample, .user = files) */
#define CBM_DATASET_DEFAULTS .name = "dataset", .input_dtype = CBM_F32, .target_dtype = CBM_I64, .destroy = NULL
#define cbm_dataset_make(...) CBM_DATASET_MAKE_(__VA_ARGS__, .struct_size = sizeof(cbm_dataset_options))
#define CBM_DATASET_MAKE_(cx, ...)                                                                                     \
    CBM_OPTIONS_(cbm_dataset_options, cbm_dataset_with(cx, &cbm_o_), CBM_DATASET_DEFAULTS, __VA_ARGS__)

/* cbm_mnist(cx, "data/mnist", CBM_TRAIN), cbm_mnist(cx, directory, CBM_TEST, .normalise = false) */
#define CBM_IMAGE_DEFAULTS .normalise = 1, .mean = 0.1307, .deviation = 0.3081, .classes = 10
#define cbm_mnist(...) CBM_MNIST_(__VA_ARGS__, .struct_size = sizeof(cbm_image_options))
#define CBM_MNIST_(cx, directory, split, ...)                                                                          \
    CBM_OPTIONS_(cbm_image_options, cbm_mnist_with(cx, directory, split, &cbm_o_), CBM_IMAGE_DEFAULTS, __VA_ARGS__)
#define cbm_idx_dataset(...) CBM_IDX_DATASET_(__VA_ARGS__, .struct_size = sizeof(cbm_image_options))
#define CBM_IDX_DATASET_(cx, images, labels, ...)                                                                      \
    CBM_OPTIONS_(cbm_image_options, cbm_idx_dataset_with(cx, images, labels, &cbm_o_), CBM_IMAGE_DEFAULTS, __VA_ARGS__)

/* cbm_cifar10(cx, "data/cifar10", CBM_TRAIN), cbm_cifar10(cx, directory, CBM_TRAIN, .normalise = false) */
#define CBM_CIFAR_DEFAULTS                                                                                             \
    .normalise = 1, .coarse = 0, .mean = { 0.4914, 0.4822, 0.4465 }, .deviation = { 0.2470, 0.2435, 0.2616 }
#define cbm_cifar10(...) CBM_CIFAR_(cbm_cifar10_with, __VA_ARGS__, .struct_size = sizeof(cbm_cifar_options))
#define cbm_cifar100(...) CBM_CIFAR_(cbm_cifar100_with, __VA_ARGS__, .struct_size = sizeof(cbm_cifar_options))
#define CBM_CIFAR_(function, cx, directory, split, ...)                                                                \
    CBM_OPTIONS_(cbm_cifar_options, function(cx, directory, split, &cbm_o_), CBM_CIFAR_DEFAULTS, __VA_ARGS__)

/* cbm_dataset_transform(dataset, cbm_random_crop(4), cbm_random_flip(), cbm_normalize(3, mean, deviation)) */
#define cbm_dataset_transform(dataset, ...)                                                                            \
    cbm_dataset_transform_with(dataset, (const cbm_transform[]){ __VA_ARGS__ },                                        \
                               sizeof((const cbm_transform[]){ __VA_ARGS__ }) / sizeof(cbm_transform))

/* cbm_loader_open(dataset, .batch_size = 64, .shuffle = true) */
#define CBM_LOADER_DEFAULTS .batch_size = 64, .workers = 1, .seed = 0, .ranks = 1
#define cbm_loader_open(...) CBM_LOADER_OPEN_(__VA_ARGS__, .struct_size = sizeof(cbm_loader_options))
#define CBM_LOADER_OPEN_(dataset, ...)                                                                                 \
    CBM_OPTIONS_(cbm_loader_options, cbm_loader_open_with(dataset, &cbm_o_), CBM_LOADER_DEFAULTS, __VA_ARGS__)
#endif

#endif
