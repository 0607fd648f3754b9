/* A main for fuzz targets where libFuzzer is not at hand: a fixed number of inputs made from the seeds by seeded
   mutations, so that every run is the same.
   usage: TARGET [INPUTS] [SECONDS] [SEED FILE OR FOLDER]...  (INPUTS 0: only the seeds themselves, for a crash) */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MAX_SEEDS = 512, MAX_SIZE = 1 << 16 };

static struct {
    uint8_t *bytes;
    size_t size;
} seeds[MAX_SEEDS];
static size_t seed_count;
static uint64_t random_state = 0x9E3779B97F4A7C15U;

/* splitmix64 */
static uint64_t next_random(void)
{
    uint64_t z = random_state += 0x9E3779B97F4A7C15U;
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9U;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBU;
    return z ^ (z >> 31);
}

static size_t below(size_t n)
{
    return n == 0 ? 0 : (size_t)(next_random() % n);
}

static void add_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL || seed_count == MAX_SEEDS)
        goto done;
    uint8_t *bytes = malloc(MAX_SIZE);
    if (bytes == NULL)
        goto done;
    seeds[seed_count].size = fread(bytes, 1, MAX_SIZE, f);
    seeds[seed_count++].bytes = bytes;
done:
    if (f != NULL)
        fclose(f);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void add_path(const char *path)
{
    struct stat s;
    if (stat(path, &s) != 0)
        return;
    if (!S_ISDIR(s.st_mode)) {
        add_file(path);
        return;
    }
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, by_name);
    for (int i = 0; i < count; i++) {
        char name[4096];
        if (entries[i]->d_name[0] != '.' &&
            snprintf(name, sizeof name, "%s/%s", path, entries[i]->d_name) < (int)sizeof name)
            add_file(name);
        free(entries[i]);
    }
    free(entries);
}

/* One change: a bit, a byte, an interesting number, a removed, repeated or inserted stretch, a piece of another seed. */
static size_t mutate(uint8_t *b, size_t n)
{
    static const uint64_t numbers[] = { 0,          1,          0x7f,       0x80,
                                        0xff,       0x7fff,     0xffff,     0x7fffffff,
                                        0x80000000, 0xffffffff, INT64_MAX,  (uint64_t)1 << 63,
                                        UINT64_MAX, 0x10000,    0x40000000, (uint64_t)1 << 40 };
    size_t at = below(n), length, width;
    switch (next_random() % 8) {
    case 0:
        if (n > 0)
            b[at] ^= (uint8_t)(1U << below(8));
        return n;
    case 1:
        if (n > 0)
            b[at] = (uint8_t)next_random();
        return n;
    case 2:
        width = (size_t)1 << below(4);
        if (n >= width)
            memcpy(b + below(n - width + 1), &numbers[below(sizeof numbers / sizeof *numbers)], width);
        return n;
    case 3: /* truncate */ return at;
    case 4: /* remove */
        length = below(n - at < 64 ? n - at : 64);
        memmove(b + at, b + at + length, n - at - length);
        return n - length;
    case 5: /* insert */
        length = 1 + below(16);
        if (n + length > MAX_SIZE)
            return n;
        memmove(b + at + length, b + at, n - at);
        for (size_t i = 0; i < length; i++)
            b[at + i] = (uint8_t)next_random();
        return n + length;
    case 6: /* repeat */
        length = below(n - at < 64 ? n - at : 64);
        if (n + length > MAX_SIZE)
            return n;
        memmove(b + at + length, b + at, n - at);
        return n + length;
    default: /* a digit, a bracket, a quote: for text formats */
        if (n > 0)
            b[at] = (uint8_t) "0123456789-{}[](),:\"'. e"[below(24)];
        return n;
    }
}

static uint8_t input[MAX_SIZE];

static void run(size_t size)
{
    uint8_t *exact = malloc(size > 0 ? size : 1); /* so that an overrun by one byte is seen */
    if (exact == NULL)
        return;
    memcpy(exact, input, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

int main(int argc, char **argv)
{
    long inputs = argc > 1 ? strtol(argv[1], NULL, 10) : 20000, seconds = argc > 2 ? strtol(argv[2], NULL, 10) : 5;
    for (int i = 3; i < argc; i++)
        add_path(argv[i]);
    run(0);
    for (size_t s = 0; s < seed_count; s++) {
        memcpy(input, seeds[s].bytes, seeds[s].size);
        run(seeds[s].size);
    }
    time_t end = time(NULL) + seconds;
    long done = 0;
    for (; done < inputs && time(NULL) <= end; done++) {
        size_t size = 0;
        if (seed_count > 0) {
            size_t s = below(seed_count);
            size = seeds[s].size;
            memcpy(input, seeds[s].bytes, size);
        } else {
            size = below(256);
            for (size_t i = 0; i < size; i++)
                input[i] = (uint8_t)next_random();
        }
        for (uint64_t changes = 1 + next_random() % 4; changes > 0; changes--)
            size = mutate(input, size);
        run(size);
    }
    printf("%zu seeds, %ld mutated inputs\n", seed_count, done);
    for (size_t s = 0; s < seed_count; s++)
        free(seeds[s].bytes);
    return 0;
}
