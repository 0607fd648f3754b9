/* progress.c: the live line at the bottom of a terminal. It goes to standard error, so that output can be piped. */
#include "cli.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum { BAR_WIDTH = 16, LINE_ROOM = 512 };

static bool line_shown;

bool cbm_live(void)
{
    static int live = -1;
    if (live < 0) {
        const char *term = getenv("TERM");
        live = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    }
    return live;
}

static int columns(void)
{
    struct winsize size;
    if (ioctl(STDERR_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col < 20)
        return 80;
    return size.ws_col;
}

void cbm_live_clear(void)
{
    if (!line_shown)
        return;
    fputs("\r\x1b[K", stderr);
    fflush(stderr);
    line_shown = false;
}

void cbm_live_line(double bar, const char *format, ...)
{
    if (!cbm_live())
        return;
    char text[LINE_ROOM];
    int used = 0;
    if (bar >= 0) {
        int full = (int)((bar > 1 ? 1 : bar) * BAR_WIDTH + 0.5);
        text[used++] = '[';
        for (int i = 0; i < BAR_WIDTH; i++)
            text[used++] = i < full ? '=' : i == full ? '>' : ' ';
        text[used++] = ']';
        text[used++] = ' ';
    }
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text + used, sizeof text - (size_t)used, format, arguments);
    va_end(arguments);
    int room = columns() - 1;
    if ((int)strlen(text) > room)
        text[room] = 0;
    fprintf(stderr, "\r%s\x1b[K", text);
    fflush(stderr);
    line_shown = true;
}
