/* recipe.h: a recipe is a model, its data, its defaults and what it shows. One file a recipe; recipes.c lists them and
   does what all of them share: training, evaluating, predicting, checking gradients. Rests on the library and media. */
#ifndef CAMBIUM_RECIPE_H
#define CAMBIUM_RECIPE_H

#include "media/media.h"
#include <cambium/cambium.h>
#include <stdio.h>

/* What a recipe with a course of its own has found: "frozen_features_accuracy" and the like. */
enum { CBM_MEASURES_MOST = 64 };
typedef struct cbm_measures {
    size_t count;
    struct {
        char name[64];
        double value;
    } at[CBM_MEASURES_MOST];
} cbm_measures;

/* What the user may choose. Start from cbm_recipe_settings_of(recipe). */
typedef struct cbm_recipe_settings {
    int64_t epochs;
    int64_t batch_size;
    int64_t workers;   /* of the loader */
    int64_t max_steps; /* 0: no limit */
    int64_t limit;     /* use only the first so many samples of each split; 0: all */
    double lr;
    uint64_t seed;
    cbm_dtype dtype;         /* CBM_F32; CBM_F64 for gradient checks */
    cbm_precision precision; /* of the run that the settings are of; else OUTER. The context's own is what counts */
    const char *data_dir;    /* where the data set lies, for example "data/mnist" */
    const char *run_dir;     /* NULL: nothing is written */
    bool tune;               /* algorithms are measured; kept with the run, which a resumed one follows */
    bool resume;
    bool overwrite;                             /* replace the run that run_dir holds */
    const char *optimizer, *schedule, *average; /* chosen by name (see cbm_choice_at); NULL: as the recipe has it */
    bool (*stopped)(void);                      /* the user wants no more; NULL: nobody can say so */
    cbm_measures *measures;                     /* where cbm_recipe_measure keeps them; NULL: nowhere */
} cbm_recipe_settings;

typedef struct cbm_recipe cbm_recipe;
struct cbm_recipe {
    const char *name;        /* "mnist-cnn" */
    const char *summary;     /* a line for `cambium list` */
    const char *description; /* a paragraph: what it shows */
    const char *data;        /* the data set that `cambium data get` fetches: "mnist"; NULL: none needed */
    int64_t epochs, batch_size;
    int64_t fast_epochs;     /* of a short course that already shows it (`cambium train --fast`); 0: there is none */
    int64_t fast_batch_size; /* of it; 0: as usual */
    double lr;
    cbm_shape input;                /* of one sample: (1, 28, 28) */
    int64_t classes;                /* 0: no classification */
    const char *const *class_names; /* what `cambium predict` calls them; NULL: by number */
    cbm_module *(*model)(cbm_context *cx, cbm_dtype dtype);
    cbm_dataset *(*dataset)(cbm_context *cx, const char *dir, cbm_split split); /* NULL: none */
    cbm_dataset *(*training_dataset)(cbm_context *cx, const char *dir); /* CBM_TRAIN augmented; NULL: dataset's */
    cbm_optimizer *(*optimizer)(cbm_module *net, const cbm_recipe_settings *settings);
    cbm_schedule *(*schedule)(cbm_optimizer *opt, const cbm_recipe_settings *settings, int64_t steps); /* may be NULL */
    cbm_loss_fn loss; /* NULL: cross entropy */
    /* A network input (1, ...) from an image of 8-bit pixels, rows first, of the input's size and channels. NULL: does
       not predict from images. */
    cbm_tensor *(*from_image)(cbm_context *cx, const uint8_t *pixels, int64_t height, int64_t width, int64_t channels);
    /* The same from an array as an npy file holds it, one sample or a batch of them. */
    cbm_tensor *(*from_array)(cbm_context *cx, cbm_tensor *array);
    /* `cambium train` of a recipe that does not follow the common loop; prints to out, draws into run_dir (NULL: none). */
    cbm_status (*run)(cbm_context *cx, const cbm_recipe_settings *settings, FILE *out);
};

size_t cbm_recipe_count(void);
const cbm_recipe *cbm_recipe_at(size_t index);
const cbm_recipe *cbm_recipe_named(const char *name); /* NULL: no such recipe */
cbm_recipe_settings cbm_recipe_settings_of(const cbm_recipe *recipe);
/* What the run in run_dir was begun with, from its config.json: epochs, batch size, limit, learning rate, seed,
   precision, what was chosen by name. false: it cannot be read, or is another recipe's; why (of size bytes) says which. */
bool cbm_recipe_settings_of_run(const cbm_recipe *recipe, const char *run_dir, cbm_recipe_settings *settings, char *why,
                                size_t size);

/* Trains by the common loop (not for recipes with run): opens data, model, optimizer, schedule, calls cbm_fit with a run
   directory, and after each epoch draws curves.png there. The callbacks may be NULL; returning false stops and saves. */
typedef struct cbm_recipe_watch {
    bool (*on_step)(const cbm_progress *progress, void *user);
    bool (*on_epoch)(const cbm_epoch *epoch, void *user);
    void *user;
} cbm_recipe_watch;
cbm_status cbm_recipe_train(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                            const cbm_recipe_watch *watch, cbm_fit_result *result);

/* Batches of a split: limited to settings->limit samples; with train shuffled and augmented, else 1000 at a time. NULL on
   error. */
cbm_loader *cbm_recipe_loader(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                              cbm_split split, bool train);

/* diagnose.c: gradients, the first loss, what layers give, a small subset learned by heart, updates, validation: a finding
   each. Needs some seconds to minutes. Findings that do not pass are no error. */
typedef struct cbm_finding {
    const char *check; /* "gradients", "initial weights", "cost", "first loss", "non-linearity", "layers, untrained",
                          "learning rate", "small subset", "validation", "layers, trained" */
    bool passed;
    char text[400];     /* what was found */
    const char *advice; /* NULL: passed */
} cbm_finding;
cbm_status cbm_recipe_diagnose(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                               void (*on_finding)(const cbm_finding *finding, void *user), void *user);

/* look.c: pictures of what is inside trained weights, left in dir, and words about them, printed to out: layers, filters,
   feature maps, which units answer to which samples, where scores come from, what raises each class, confusion, the surest
   mistakes. sample: whose feature maps, among the first 500. Classifiers only. settings->limit: test samples; 0: all. */
cbm_status cbm_recipe_look(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                           const char *weights, int64_t sample, const char *dir, FILE *out);

/* rates.c: the search for a learning rate, on a subset (settings->limit samples; 0: 5000). A line a trial goes to out. */
enum { CBM_RATES_MOST = 200 };
typedef struct cbm_rate_search {
    double best;     /* where a short training ends lowest; 0: none was found */
    double largest;  /* halved until the loss no longer ran away */
    double steepest; /* where the range test's loss falls fastest; 0: nowhere */
    int64_t trials, range_count;
    double trial_rate[CBM_RATES_MOST], trial_loss[CBM_RATES_MOST]; /* infinite: it ran away */
    double range_rate[CBM_RATES_MOST], range_loss[CBM_RATES_MOST];
} cbm_rate_search;
cbm_status cbm_recipe_find_rate(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                                FILE *out, cbm_rate_search *found);
cbm_status cbm_recipe_draw_rates(cbm_context *cx, const cbm_rate_search *found, const char *title, const char *path);

/* choices.c: what can be chosen by name in the place of what the recipe has. */
typedef enum cbm_choice { CBM_CHOICE_OPTIMIZER, CBM_CHOICE_SCHEDULE, CBM_CHOICE_AVERAGE } cbm_choice;
const char *cbm_choice_at(cbm_choice of, size_t i);            /* the names; NULL past the end */
const char *cbm_choice_named(cbm_choice of, const char *name); /* the name itself, static text; NULL: no such */
cbm_optimizer *cbm_choose_optimizer(const cbm_recipe *recipe, cbm_module *net, const cbm_recipe_settings *settings);
/* Over so many steps; NULL: the rate stays. */
cbm_schedule *cbm_choose_schedule(const cbm_recipe *recipe, cbm_optimizer *opt, const cbm_recipe_settings *settings,
                                  int64_t steps);
cbm_average *cbm_choose_average(cbm_module *net, const cbm_recipe_settings *settings, int64_t steps); /* NULL: none */

/* The model with weights from a safetensors file (weights NULL: fresh). A failed module on error. */
cbm_module *cbm_recipe_model(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                             const char *weights);
/* Loss and accuracy of weights on a split. */
cbm_status cbm_recipe_eval(const cbm_recipe *recipe, cbm_context *cx, const cbm_recipe_settings *settings,
                           const char *weights, cbm_split split, cbm_evaluation *out);
/* Class probabilities (N, classes) for a network input. */
cbm_tensor *cbm_recipe_predict(const cbm_recipe *recipe, cbm_module *net, cbm_tensor *input);

/* Checks the gradient of the recipe's loss, in f64, against central differences at a few entries of each parameter. Open
   cx with .device = "reference". Calls row for each parameter; CBM_ERROR_INVALID if one failed. */
typedef struct cbm_recipe_check {
    const char *name; /* of the parameter */
    bool passed;
    double max_error;
    int64_t entries; /* compared */
} cbm_recipe_check;
cbm_status cbm_recipe_gradcheck(const cbm_recipe *recipe, cbm_context *cx,
                                void (*row)(const cbm_recipe_check *check, void *user), void *user);

/* Draws a run's metrics.jsonl as curves.png: loss above, error below, training and validation. */
cbm_status cbm_recipe_draw_curves(cbm_context *cx, const char *run_dir, const char *title);

/* What became of a training of a recipe with a course of its own: status, which cbm_fit gave, or CBM_ERROR_CANCELLED, now also cx's
   error, if the user wants no more, so that what the recipe would do next does nothing. */
cbm_status cbm_recipe_ended(cbm_context *cx, const cbm_recipe_settings *settings, cbm_status status);

/* measures.c: keeps a number under a name, in which spaces and hyphens become underscores; beyond the first
   CBM_MEASURES_MOST nothing. */
void cbm_recipe_measure(const cbm_recipe_settings *settings, double value, const char *format, ...) CBM_PRINTF(3, 4);

/* pictures.c: an empty image, for recipe `who`'s run folder; false: reported. Writing it there with words around it (frame NULL:
   without), which also frees it; its path is printed to out. */
bool cbm_recipe_image(cbm_context *cx, const char *who, int64_t width, int64_t height, int64_t channels,
                      cbm_image *image);
cbm_status cbm_recipe_keep_image(cbm_context *cx, const char *who, cbm_image *image, const cbm_frame *frame,
                                 const char *run_dir, const char *file, FILE *out);
cbm_status cbm_recipe_keep_plot(cbm_context *cx, const char *who, const cbm_plot *plot, const char *run_dir,
                                const char *file, FILE *out);

/* The recipes. */
extern const cbm_recipe cbm_recipe_cifar_resnet20, cbm_recipe_fashion_cnn, cbm_recipe_finetune, cbm_recipe_iris_mlp,
    cbm_recipe_lenet5, cbm_recipe_improve, cbm_recipe_mnist_cnn, cbm_recipe_mnist_mlp, cbm_recipe_multi_task,
    cbm_recipe_oscillator, cbm_recipe_own_operation, cbm_recipe_random_filters, cbm_recipe_relu_tiling,
    cbm_recipe_sliding, cbm_recipe_multi_modal, cbm_recipe_scene_labeling, cbm_recipe_two_layer_net, cbm_recipe_wavelet,
    cbm_recipe_weight_averaging;

/* cifar.c: what the CIFAR-10 recipes share. */
extern const char *const cbm_cifar_classes[];
cbm_dataset *cbm_cifar_dataset(cbm_context *cx, const char *dir, cbm_split split);
cbm_dataset *cbm_cifar_augmented(cbm_context *cx, const char *dir);
cbm_tensor *cbm_cifar_from_image(cbm_context *cx, const uint8_t *pixels, int64_t height, int64_t width,
                                 int64_t channels);
cbm_tensor *cbm_cifar_from_array(cbm_context *cx, cbm_tensor *array);

/* digits.c: what the MNIST recipes share. */
cbm_dataset *cbm_digits_dataset(cbm_context *cx, const char *dir, cbm_split split);
cbm_dataset *cbm_digits_limited(cbm_context *cx, const cbm_recipe_settings *settings, cbm_split split); /* to so many */
cbm_tensor *cbm_digits_from_image(cbm_context *cx, const uint8_t *pixels, int64_t height, int64_t width,
                                  int64_t channels);
cbm_tensor *cbm_digits_from_array(cbm_context *cx, cbm_tensor *array);

#endif
