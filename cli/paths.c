/* paths.c: where things lie: runs/RECIPE, data/NAME, weights; and finding a recipe by name. */
#include "cli.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#define RUNS "runs"
enum { MOST_RUNS = 9999 };

bool cbm_path_join(char out[static CBM_PATH_ROOM], const char *folder, const char *name)
{
    int n = snprintf(out, CBM_PATH_ROOM, "%s/%s", folder, name);
    if (n >= 0 && n < CBM_PATH_ROOM)
        return true;
    cbm_report("the path '%.60s...' is too long", folder);
    return false;
}

bool cbm_file_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISREG(about.st_mode);
}

bool cbm_folder_exists(const char *path)
{
    struct stat about;
    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

bool cbm_make_folders(const char *path)
{
    char part[CBM_PATH_ROOM];
    size_t n = strlen(path);
    if (n == 0 || n >= sizeof part) {
        cbm_report("cannot make the folder '%.60s': the name is %s", path, n ? "too long" : "empty");
        return false;
    }
    for (size_t i = 1; i <= n; i++) {
        if (path[i] != '/' && path[i] != 0)
            continue;
        memcpy(part, path, i);
        part[i] = 0;
        if (mkdir(part, 0777) == 0)
            continue;
        int reason = errno; /* looking for the folder changes it */
        if (cbm_folder_exists(part))
            continue;
        cbm_report("cannot make the folder '%s': %s", part, strerror(reason));
        return false;
    }
    return true;
}

/* The name of a recipe's number'th run. */
static bool run_name(const char *recipe, int number, char out[static CBM_PATH_ROOM])
{
    char name[256];
    int n =
        number < 2 ? snprintf(name, sizeof name, "%s", recipe) : snprintf(name, sizeof name, "%s-%d", recipe, number);
    return n > 0 && n < (int)sizeof name && cbm_path_join(out, RUNS, name);
}

bool cbm_new_run(const char *recipe, char out[static CBM_PATH_ROOM])
{
    for (int i = 1; i <= MOST_RUNS; i++) {
        struct stat about;
        if (!run_name(recipe, i, out))
            return false;
        if (lstat(out, &about) != 0)
            return true;
    }
    cbm_report("there are %d runs of %s under " RUNS "/: remove some, or name one with --run", MOST_RUNS, recipe);
    return false;
}

bool cbm_newest_run(const char *recipe, const char *holding, char out[static CBM_PATH_ROOM])
{
    struct timespec latest = { 0 };
    char run[CBM_PATH_ROOM], file[CBM_PATH_ROOM];
    bool found = false;
    int missing = 0;
    for (int i = 1; i <= MOST_RUNS && missing < 100; i++) {
        struct stat about;
        if (!run_name(recipe, i, run) || !cbm_path_join(file, run, holding))
            return false;
        if (stat(file, &about) != 0) {
            missing++;
            continue;
        }
        missing = 0;
        struct timespec t = about.st_mtim;
        if (found && (t.tv_sec < latest.tv_sec || (t.tv_sec == latest.tv_sec && t.tv_nsec <= latest.tv_nsec)))
            continue;
        found = true;
        latest = t;
        memcpy(out, run, sizeof run);
    }
    return found;
}

bool cbm_find_weights(const char *recipe, const char *weights, const char *run, char out[static CBM_PATH_ROOM])
{
    static const char model[] = "model.safetensors";
    char newest[CBM_PATH_ROOM];
    if (weights) {
        if (strlen(weights) >= CBM_PATH_ROOM) {
            cbm_report("the path of the weights is too long");
            return false;
        }
        strcpy(out, weights);
    } else if (run) {
        if (!cbm_path_join(out, run, model))
            return false;
    } else {
        if (!cbm_newest_run(recipe, model, newest)) {
            const cbm_recipe *known = cbm_recipe_named(recipe);
            if (known && known->run && !known->model)
                cbm_report("%s has a course of its own and leaves no model to go on with", recipe);
            else
                cbm_report("there is no trained %s under " RUNS "/\n"
                           "HINT: train it with `%s train %s`, or name a file with --weights",
                           recipe, cbm_program, recipe);
            return false;
        }
        if (!cbm_path_join(out, newest, model))
            return false;
    }
    struct stat about;
    if (stat(out, &about) == 0)
        return true;
    cbm_report("cannot open the weights '%s': %s", out, strerror(errno));
    return false;
}

bool cbm_find_data(const cbm_recipe *recipe, const char *folder, char out[static CBM_PATH_ROOM])
{
    if (!recipe->data) {
        out[0] = 0;
        return true;
    }
    if (!cbm_path_join(out, folder, recipe->data))
        return false;
    if (cbm_folder_exists(out))
        return true;
    cbm_report("the data set '%s' is not in '%s'\nHINT: `%s data get %s%s%s` fetches it", recipe->data, out,
               cbm_program, recipe->data, strcmp(folder, "data") ? " --data " : "",
               strcmp(folder, "data") ? folder : "");
    return false;
}

bool cbm_picture_fits(const char *path)
{
    char folder[CBM_PATH_ROOM];
    const char *slash = strrchr(path, '/'), *dot = strrchr(path, '.');
    const size_t length = slash ? (size_t)(slash - path) : 0;
    if (!dot || strcasecmp(dot, ".png") != 0)
        cbm_report("pictures are PNG files: '%.200s' does not end in .png", path);
    else if (length >= sizeof folder)
        cbm_report("the path of the picture is too long");
    else {
        snprintf(folder, sizeof folder, "%.*s", slash ? (int)(length ? length : 1) : 1, slash ? path : ".");
        if (cbm_folder_exists(folder) && access(folder, W_OK) == 0)
            return true;
        cbm_report("cannot write '%.200s': %s", path, strerror(cbm_folder_exists(folder) ? errno : ENOENT));
    }
    return false;
}

static const char *recipe_name_at(size_t i, void *user)
{
    (void)user;
    return i < cbm_recipe_count() ? cbm_recipe_at(i)->name : NULL;
}

const cbm_recipe *cbm_find_recipe(const char *name)
{
    const cbm_recipe *recipe = cbm_recipe_named(name);
    if (recipe)
        return recipe;
    const char *near = cbm_nearest(name, recipe_name_at, NULL);
    if (near)
        cbm_report("there is no recipe '%s'; did you mean %s?", name, near);
    else
        cbm_report("there is no recipe '%s'\nHINT: `%s list` shows those there are", name, cbm_program);
    return NULL;
}
