/* package.c: a data set from an npm or a Debian package: runs the client in a folder of its own. Rests on POSIX. */
#define _XOPEN_SOURCE 700 /* nftw */

#include "fetch.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { MOST_SECONDS = 600, POLL_MILLISECONDS = 100, CANNOT_RUN = 127 };

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *where)
{
    (void)about;
    (void)kind;
    (void)where;
    remove(path);
    return 0;
}

void cbm_remove_tree(const char *folder)
{
    nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* How a client is asked for a package, and what it leaves. */
typedef struct client {
    const char *name;             /* of the program, for messages */
    const char *command;          /* for the live line */
    const char *const *arguments; /* the package's name is added behind them */
    const char *log, *ending;
} client;

static const char *const npm_arguments[] = {
    "npm", "pack", "--ignore-scripts", "--no-progress", "--fetch-retries=1", "--fetch-retry-mintimeout=1000", NULL
};
static const client npm = { "npm", "npm pack", npm_arguments, "npm.log", ".tgz" };
static const char *const apt_arguments[] = { "apt-get", "download", "-q", NULL };
static const client apt = { "apt-get", "apt-get download", apt_arguments, "apt.log", ".deb" };

/* The child: never returns. Only calls that are safe after fork. */
_Noreturn static void run_client(const client *c, const char *package, const char *folder)
{
    const char *arguments[16];
    size_t n = 0;
    for (; c->arguments[n]; n++)
        arguments[n] = c->arguments[n];
    arguments[n++] = package;
    arguments[n] = NULL;
    if (chdir(folder) != 0)
        _exit(CANNOT_RUN);
    int log = open(c->log, O_WRONLY | O_CREAT | O_TRUNC, 0666), nothing = open("/dev/null", O_RDONLY);
    if (log < 0 || nothing < 0)
        _exit(CANNOT_RUN);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execvp(arguments[0], (char *const *)(uintptr_t)arguments);
    _exit(CANNOT_RUN);
}

/* Waits for the child; -1 if it was stopped. */
static int wait_for(const client *c, pid_t child, const char *package)
{
    int state = 0;
    for (int waited = 0; waited < MOST_SECONDS * 1000; waited += POLL_MILLISECONDS) {
        pid_t ended = waitpid(child, &state, WNOHANG);
        if (ended == child || (ended < 0 && errno != EINTR))
            return state;
        if (cbm_interrupted())
            break;
        char seconds[32];
        cbm_live_line(-1, "%s %s  %s", c->command, package, cbm_text_seconds(waited / 1000.0, seconds));
        nanosleep(&(struct timespec){ 0, POLL_MILLISECONDS * 1000000L }, NULL);
    }
    kill(child, SIGTERM);
    waitpid(child, &state, 0);
    return -1;
}

/* The line of the client's output that says most: npm's error code, apt's first error, or the last one. */
static void read_log(const client *c, const char *folder, cbm_reason *reason)
{
    char path[CBM_PATH_ROOM], line[300], kept[300] = "no message";
    if (!cbm_path_join(path, folder, c->log))
        return;
    FILE *log = fopen(path, "r");
    while (log && fgets(line, sizeof line, log)) {
        line[strcspn(line, "\r\n")] = 0;
        bool about_log = strstr(line, "complete log") || strstr(line, "_logs");
        if (line[0] && !about_log && strncmp(line, "npm notice", 10) != 0)
            memcpy(kept, line, sizeof kept);
        if (strstr(line, "npm ERR! code") || strstr(line, "npm error code") || strncmp(line, "E: ", 3) == 0)
            break;
    }
    if (log)
        fclose(log);
    for (char *k = kept; *k; k++)
        if ((unsigned char)*k < 0x20)
            *k = ' ';
    cbm_because(reason, "%s: %s", c->name, kept);
}

bool cbm_find_file(const char *folder, const char *begin, const char *end, char out[static CBM_PATH_ROOM])
{
    bool found = false;
    const size_t head = strlen(begin), tail = strlen(end);
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e && !found; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        if (n > head + tail && strncmp(e->d_name, begin, head) == 0 && strcmp(e->d_name + n - tail, end) == 0)
            found = cbm_path_join(out, folder, e->d_name);
    }
    if (d)
        closedir(d);
    return found;
}

static bool fetch_package(const client *c, const char *package, const char *folder, char archive[static CBM_PATH_ROOM],
                          cbm_reason *reason)
{
    pid_t child = fork();
    if (child == 0)
        run_client(c, package, folder);
    if (child < 0) {
        cbm_because(reason, "cannot start %s: %s", c->name, strerror(errno));
        return false;
    }
    int state = wait_for(c, child, package);
    cbm_live_clear();
    if (state == -1 && cbm_interrupted())
        cbm_because(reason, "interrupted");
    else if (state == -1)
        cbm_because(reason, "%s took too long", c->name);
    else if (WIFEXITED(state) && WEXITSTATUS(state) == CANNOT_RUN)
        cbm_because(reason, "the %s client is not installed", c->name);
    else if (!WIFEXITED(state) || WEXITSTATUS(state) != 0)
        read_log(c, folder, reason);
    else if (!cbm_find_file(folder, "", c->ending, archive))
        cbm_because(reason, "%s left no archive", c->name);
    else
        return true;
    return false;
}

bool cbm_npm_pack(const char *package, const char *folder, char archive[static CBM_PATH_ROOM], cbm_reason *reason)
{
    return fetch_package(&npm, package, folder, archive, reason);
}

bool cbm_apt_download(const char *package, const char *folder, char archive[static CBM_PATH_ROOM], cbm_reason *reason)
{
    return fetch_package(&apt, package, folder, archive, reason);
}
