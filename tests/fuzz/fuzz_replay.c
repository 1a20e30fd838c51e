/* SPDX-License-Identifier: Apache-2.0
 * fuzz_replay: main() of a fuzz target where the compiler has no libFuzzer.
 *
 *   fuzz_<what> [--mutate RUNS] [--seed N] FILE|FOLDER...
 *
 * Runs the target on every file; then on RUNS mutations of them. The same seed and files give the
 * same runs. */
#include "common/base/rng.h"
#include "tests/fuzz/fuzz_target.h"

#include <dirent.h>
#include <stdio.h>
#include <sys/stat.h>

#define INPUT_BYTES_MAX (1024 * 1024)

struct corpus {
    struct buf *inputs;
    size_t count;
};

static bool read_file(struct corpus *c, const char *path)
{
    FILE *file = fopen(path, "rb");
    if (file == NULL)
        return false;
    struct buf input = {0};
    uint8_t chunk[4096];
    size_t got;
    while (input.length < INPUT_BYTES_MAX && (got = fread(chunk, 1, sizeof(chunk), file)) > 0)
        buf_put(&input, chunk, got);
    fclose(file);
    c->inputs = base_realloc(c->inputs, (c->count + 1) * sizeof(*c->inputs));
    c->inputs[c->count++] = input;
    return true;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static bool read_path(struct corpus *c, const char *path)
{
    struct stat status;
    if (stat(path, &status) != 0)
        return false;
    if (!S_ISDIR(status.st_mode))
        return read_file(c, path);
    struct dirent **entries = NULL;
    int count = scandir(path, &entries, NULL, by_name);
    bool good = count >= 0;
    for (int i = 0; i < count; i++) {
        char file[4096];
        int length = snprintf(file, sizeof(file), "%s/%s", path, entries[i]->d_name);
        if (entries[i]->d_name[0] != '.' && length < (int)sizeof(file))
            good = read_file(c, file) && good;
        free(entries[i]);
    }
    free(entries);
    return good;
}

static void insert_at(struct buf *input, size_t at, const uint8_t *bytes, size_t length)
{
    buf_reserve(input, length);
    memmove(input->data + at + length, input->data + at, input->length - at);
    memcpy(input->data + at, bytes, length);
    input->length += length;
}

static void mutate_once(struct rng *r, const struct corpus *c, struct buf *input)
{
    static const uint8_t edges[] = {0,    1,    0x7f, 0x80, 0x8f, 0x9f, 0xc4, 0xcc, 0xcf,
                                    0xdc, 0xdf, 0xff, '"',  '\\', '{',  '}',  '[',  ']'};
    uint8_t byte = rng_chance(r, 500) ? edges[rng_below(r, sizeof(edges))] : (uint8_t)rng_next(r);
    size_t at = (size_t)rng_below(r, input->length + 1);
    const struct buf *other = &c->inputs[rng_below(r, c->count)];
    if (at == input->length || rng_chance(r, 150)) {
        insert_at(input, at, &byte, 1);
        return;
    }
    switch (rng_below(r, 5)) {
    case 0:
        input->data[at] = byte;
        break;
    case 1:
        input->data[at] ^= (uint8_t)(1u << rng_below(r, 8));
        break;
    case 2: { /* a run less */
        size_t run = (size_t)rng_below(r, base_min_u64(16, input->length - at)) + 1;
        memmove(input->data + at, input->data + at + run, input->length - at - run);
        input->length -= run;
        break;
    }
    case 3: /* a piece of another input */
        if (other->length > 0 && input->length < INPUT_BYTES_MAX / 2) {
            size_t from = (size_t)rng_below(r, other->length);
            size_t run = (size_t)rng_below(r, base_min_u64(64, other->length - from)) + 1;
            insert_at(input, at, other->data + from, run);
        }
        break;
    default:
        if (rng_chance(r, 200))
            input->length = at;
        break;
    }
}

static void run_one(struct span input)
{
    /* Memory that ends with the input, so that a byte too far is seen. */
    uint8_t *exact = base_alloc(input.length);
    if (input.length > 0)
        memcpy(exact, input.data, input.length);
    (void)LLVMFuzzerTestOneInput(exact, input.length);
    free(exact);
}

int main(int argc, char **argv)
{
    struct corpus c = {0};
    uint64_t runs = 0;
    uint64_t seed = 1;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--mutate") == 0 && i + 1 < argc) {
            runs = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (!read_path(&c, argv[i])) {
            (void)fprintf(stderr, "cannot read %s\n", argv[i]);
            return 64;
        }
    }
    if (c.count == 0) {
        (void)fprintf(stderr, "usage: %s [--mutate RUNS] [--seed N] FILE|FOLDER...\n", argv[0]);
        return 64;
    }
    for (size_t i = 0; i < c.count; i++)
        run_one(buf_span(&c.inputs[i]));
    struct buf input = {0};
    for (uint64_t run = 0; run < runs; run++) {
        struct rng r = {seed * 1000003 + run};
        const struct buf *from = &c.inputs[rng_below(&r, c.count)];
        buf_clear(&input);
        buf_put(&input, from->data, from->length);
        for (uint64_t n = rng_below(&r, 6) + 1; n > 0; n--)
            mutate_once(&r, &c, &input);
        run_one(buf_span(&input));
    }
    (void)printf("%zu inputs, %llu mutations, seed %llu\n", c.count, (unsigned long long)runs,
                 (unsigned long long)seed);
    for (size_t i = 0; i < c.count; i++)
        buf_done(&c.inputs[i]);
    free(c.inputs);
    buf_done(&input);
    return 0;
}
