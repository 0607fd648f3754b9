/* images.c: image datasets from IDX files: MNIST and its kin. Bytes stay bytes in memory and are normalised when a sample
   is read. Rests on idx.h and data. */
#include "data/pixels.h"
#include "io/idx.h"
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

typedef struct images {
    cbm_heap *heap;
    uint8_t *files[2]; /* images, labels: as read from disk */
    size_t sizes[2];
    cbm_idx parts[2];
    size_t pixels;
    bool normalise;
    cbm_affine values; /* what bytes become */
} images;

enum { IMAGES, LABELS };

static void destroy(void *user)
{
    images *s = user;
    for (int i = 0; i < 2; ++i) {
        if (s->parts[i].heap)
            cbm_idx_free(&s->parts[i]);
        cbm_heap_give(s->heap, s->files[i], s->sizes[i] ? s->sizes[i] : 1);
    }
    cbm_heap_give(s->heap, s, sizeof *s);
}

static cbm_status read_sample(void *user, const cbm_sample_request *sample)
{
    const images *s = user;
    const uint8_t *in = s->parts[IMAGES].data + (size_t)sample->index * s->pixels;
    if (s->normalise)
        cbm_pixels_to_floats(in, sample->input, s->pixels, s->values);
    else if (s->pixels)
        memcpy(sample->input, in, s->pixels);
    *(int64_t *)sample->target = s->parts[LABELS].data[sample->index];
    return CBM_OK;
}

static bool read_part(images *s, int which, const char *path, cbm_problem *problem)
{
    cbm_idx *part = &s->parts[which];
    int64_t rank = which == IMAGES ? 3 : 1;
    if (!cbm_file_get(s->heap, path, &s->files[which], &s->sizes[which], problem) ||
        !cbm_idx_parse(s->heap, s->files[which], s->sizes[which], part, problem))
        return false;
    if (part->type->dtype != CBM_U8 || part->shape.v[0] != rank)
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "holds %lld-dimensional %s; %s are %lld-dimensional u8",
                          (long long)part->shape.v[0], cbm_dtype_name(part->type->dtype),
                          which == IMAGES ? "images" : "labels", (long long)rank);
    if (part->inflated) { /* the packed bytes have served */
        cbm_heap_give(s->heap, s->files[which], s->sizes[which] ? s->sizes[which] : 1);
        s->files[which] = NULL;
    }
    return true;
}

static bool check_labels(const images *s, int64_t classes, cbm_problem *problem)
{
    int64_t count = s->parts[LABELS].shape.v[1];
    if (count != s->parts[IMAGES].shape.v[1])
        return cbm_refuse(problem, CBM_ERROR_FORMAT, "%lld labels for %lld images", (long long)count,
                          (long long)s->parts[IMAGES].shape.v[1]);
    for (int64_t i = 0; i < count; ++i)
        if (s->parts[LABELS].data[i] >= classes)
            return cbm_refuse(problem, CBM_ERROR_RANGE, "label %d of sample %lld is outside 0 to %lld",
                              s->parts[LABELS].data[i], (long long)i, (long long)classes - 1);
    return true;
}

static bool read_all(images *s, const char *paths[2], const cbm_image_options *o, int *bad, cbm_problem *problem)
{
    *bad = IMAGES;
    if (!read_part(s, IMAGES, paths[IMAGES], problem))
        return false;
    *bad = LABELS;
    if (!read_part(s, LABELS, paths[LABELS], problem) || !check_labels(s, o->classes, problem))
        return false;
    s->pixels = (size_t)s->parts[IMAGES].shape.v[2] * (size_t)s->parts[IMAGES].shape.v[3];
    s->normalise = o->normalise != 0;
    s->values = cbm_affine_of(255, o->mean, o->deviation);
    return true;
}

static cbm_dataset *open_pair(cbm_context *cx, const char *name, const char *paths[2], const cbm_image_options *o)
{
    if (!(o->deviation > 0) || !isfinite(o->deviation) || !isfinite(o->mean) || o->classes < 1) {
        cbm_fail(cx, CBM_ERROR_INVALID,
                 "[dataset] deviation must be positive and finite, mean finite, classes at least 1");
        return NULL;
    }
    cbm_heap *heap = cbm_context_heap(cx);
    images *s = cbm_heap_take_zero(heap, sizeof *s);
    if (!s) {
        cbm_fail_memory(cx, "a dataset");
        return NULL;
    }
    s->heap = heap;
    cbm_problem problem = { 0 };
    int bad;
    if (!read_all(s, paths, o, &bad, &problem)) {
        destroy(s);
        cbm_report(cx, "dataset", paths[bad], &problem);
        return NULL;
    }
    const cbm_shape *shape = &s->parts[IMAGES].shape;
    return cbm_dataset_with(cx, &(cbm_dataset_options){
                                    .struct_size = sizeof(cbm_dataset_options),
                                    .name = name,
                                    .count = shape->v[1],
                                    .input_shape = CBM_SHAPE(1, shape->v[2], shape->v[3]),
                                    .input_dtype = s->normalise ? CBM_F32 : CBM_U8,
                                    .target_dtype = CBM_I64,
                                    .classes = o->classes,
                                    .read = read_sample,
                                    .user = s,
                                    .destroy = destroy,
                                });
}

void cbm_image_options_init(cbm_image_options *options)
{
    *options = (cbm_image_options){ .struct_size = sizeof *options, CBM_IMAGE_DEFAULTS };
}

static cbm_image_options complete(const cbm_image_options *options)
{
    cbm_image_options o;
    cbm_image_options_init(&o);
    if (options)
        memcpy(&o, options, options->struct_size < sizeof o ? (size_t)options->struct_size : sizeof o);
    return o;
}

cbm_dataset *cbm_idx_dataset_with(cbm_context *cx, const char *images_path, const char *labels_path,
                                  const cbm_image_options *options)
{
    cbm_image_options o = complete(options);
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    if (!images_path || !labels_path) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[dataset] path is NULL");
        return NULL;
    }
    return open_pair(cx, images_path, (const char *[2]){ images_path, labels_path }, &o);
}

/* The first of directory/stem, directory/stem.gz, directory/MNIST/raw/stem, .gz that is there. */
static bool locate(const char *directory, const char *stem, char *path, size_t size)
{
    static const char *const folders[] = { "", "MNIST/raw/" }, *const endings[] = { "", ".gz" };
    for (size_t f = 0; f < 2; ++f)
        for (size_t e = 0; e < 2; ++e) {
            int n = snprintf(path, size, "%s/%s%s%s", directory, folders[f], stem, endings[e]);
            if (n > 0 && (size_t)n < size && access(path, F_OK) == 0)
                return true;
        }
    return false;
}

cbm_dataset *cbm_mnist_with(cbm_context *cx, const char *directory, cbm_split split, const cbm_image_options *options)
{
    static const char *const stems[2][2] = {
        [CBM_TRAIN] = { "train-images-idx3-ubyte", "train-labels-idx1-ubyte" },
        [CBM_TEST] = { "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte" },
    };
    cbm_image_options o = complete(options);
    if (!cx || cbm_context_status(cx) != CBM_OK)
        return NULL;
    if (!directory || (split != CBM_TRAIN && split != CBM_TEST)) {
        cbm_fail(cx, CBM_ERROR_INVALID, "[mnist] %s",
                 directory ? "split is CBM_TRAIN or CBM_TEST" : "directory is NULL");
        return NULL;
    }
    char paths[2][4096];
    for (int i = 0; i < 2; ++i)
        if (!locate(directory, stems[split][i], paths[i], sizeof paths[i])) {
            cbm_fail(cx, CBM_ERROR_IO,
                     "[mnist] %.500s holds neither %s nor %s.gz. HINT: `cambium data get mnist` fetches them",
                     directory, stems[split][i], stems[split][i]);
            return NULL;
        }
    return open_pair(cx, split == CBM_TRAIN ? "mnist (train)" : "mnist (test)", (const char *[2]){ paths[0], paths[1] },
                     &o);
}
