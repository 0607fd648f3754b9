/* download.c: one file over HTTPS, with a progress bar, going on where an earlier attempt ended. Rests on libcurl. */
#include "fetch.h"

#include <curl/curl.h>
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    CONNECT_SECONDS = 8,
    STALLED_SECONDS = 20, /* below STALLED_BYTES a second for so long is a failure */
    STALLED_BYTES = 500,
    MOST_REDIRECTS = 5
};

typedef struct transfer {
    FILE *file;
    const char *label;
    int64_t start, received, most; /* received: of the file, start included */
    int write_error;
    bool too_large;
} transfer;

static size_t on_bytes(char *bytes, size_t one, size_t count, void *user)
{
    transfer *t = user;
    size_t size = one * count;
    if ((int64_t)size > t->most - t->received) {
        t->too_large = true;
        return 0;
    }
    if (fwrite(bytes, 1, size, t->file) != size) {
        t->write_error = errno ? errno : EIO;
        return 0;
    }
    t->received += (int64_t)size;
    return size;
}

static int on_progress(void *user, curl_off_t total, curl_off_t now, curl_off_t up_total, curl_off_t up_now)
{
    (void)up_total;
    (void)up_now;
    const transfer *t = user;
    char done[32], all[32];
    double have = (double)(t->start + now), whole = (double)(t->start + total);
    if (total > 0)
        cbm_live_line(have / whole, "%s  %s of %s", t->label, cbm_text_bytes(have, done), cbm_text_bytes(whole, all));
    else
        cbm_live_line(-1, "%s  %s", t->label, cbm_text_bytes(have, done));
    return cbm_interrupted() ? 1 : 0;
}

static void set_options(CURL *curl, const char *url, transfer *t, char *message)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_FAILONERROR, 1L);
    curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 1L);
    curl_easy_setopt(curl, CURLOPT_MAXREDIRS, (long)MOST_REDIRECTS);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, (long)CONNECT_SECONDS);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, (long)STALLED_BYTES);
    curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, (long)STALLED_SECONDS);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "cambium");
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, t);
    curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(curl, CURLOPT_XFERINFODATA, t);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, message);
    curl_easy_setopt(curl, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)t->start);
#if LIBCURL_VERSION_NUM >= 0x075500
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https,http");
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS_STR, "https,http");
#else
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS, CURLPROTO_HTTPS | CURLPROTO_HTTP);
    curl_easy_setopt(curl, CURLOPT_REDIR_PROTOCOLS, CURLPROTO_HTTPS | CURLPROTO_HTTP);
#endif
}

static bool server_unreachable(CURLcode code)
{
    return code == CURLE_COULDNT_RESOLVE_HOST || code == CURLE_COULDNT_RESOLVE_PROXY || code == CURLE_COULDNT_CONNECT ||
           code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION;
}

/* The transfer itself, into an open file. *stale: the server cannot go on from where the file ends. */
static cbm_download_end receive(const char *url, transfer *t, bool *stale, cbm_reason *reason)
{
    char message[CURL_ERROR_SIZE] = "";
    CURL *curl = curl_easy_init();
    if (!curl) {
        cbm_because(reason, "libcurl cannot start");
        return CBM_DOWNLOAD_FAILED;
    }
    set_options(curl, url, t, message);
    CURLcode code = curl_easy_perform(curl);
    long response = 0;
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &response);
    curl_easy_cleanup(curl);
    cbm_live_clear();
    if (code == CURLE_OK)
        return CBM_DOWNLOAD_DONE;
    *stale = t->start > 0 && (code == CURLE_RANGE_ERROR || response == 416);
    if (t->too_large)
        cbm_because(reason, "the server sends more than the file should have");
    else if (t->write_error)
        cbm_because(reason, "cannot write: %s", strerror(t->write_error));
    else if (cbm_interrupted())
        cbm_because(reason, "interrupted");
    else
        cbm_because(reason, "%s", message[0] ? message : curl_easy_strerror(code));
    return server_unreachable(code) || (code == CURLE_OPERATION_TIMEDOUT && t->received == t->start)
               ? CBM_DOWNLOAD_UNREACHABLE
               : CBM_DOWNLOAD_FAILED;
}

static cbm_download_end attempt(const char *url, const char *part, const char *label, int64_t most, bool *resumed,
                                bool *stale, cbm_reason *reason)
{
    struct stat about;
    transfer t = { .label = label, .most = most };
    t.file = fopen(part, "ab");
    if (!t.file || fstat(fileno(t.file), &about) != 0) {
        cbm_because(reason, "cannot write '%s': %s", part, strerror(errno));
        if (t.file)
            fclose(t.file);
        return CBM_DOWNLOAD_FAILED;
    }
    t.start = t.received = (int64_t)about.st_size;
    *resumed = t.start > 0;
    cbm_download_end end = receive(url, &t, stale, reason);
    if (fclose(t.file) != 0 && end == CBM_DOWNLOAD_DONE) {
        cbm_because(reason, "cannot write '%s': %s", part, strerror(errno));
        end = CBM_DOWNLOAD_FAILED;
    }
    if (t.received == 0 || t.too_large)
        unlink(part);
    return end;
}

cbm_download_end cbm_download(const char *url, const char *part, const char *label, int64_t most, bool *resumed,
                              cbm_reason *reason)
{
    bool stale = false;
    cbm_download_end end = attempt(url, part, label, most, resumed, &stale, reason);
    if (!stale)
        return end;
    unlink(part);
    return attempt(url, part, label, most, resumed, &stale, reason);
}
