/* For compilers without libFuzzer: every file of the given folders, each of its lengths from nothing to whole, the same in 1500 bytes, and
 * ROUNDS (environment, 200) changed copies, by a fixed sequence of random numbers. */
#include <dirent.h>
#include <stdio.h>

#include "input.h"

enum { LONGEST = 1500 };

static void try(const uint8_t *bytes, size_t length)
{
    uint8_t *copy = exact_copy(bytes, length);
    LLVMFuzzerTestOneInput(copy, length);
    free(copy);
}

static void change(uint64_t *random, const uint8_t *bytes, size_t length)
{
    uint8_t copy[4096];
    memcpy(copy, bytes, length);
    for (unsigned changes = 1 + random_next(random) % 4; changes && length; changes--) {
        size_t at = random_next(random) % length;
        uint64_t how = random_next(random);
        static const uint8_t telling[] = {0, 1, 0x7f, 0x80, 0xff, 0xfe};
        if (how % 4 == 0)
            copy[at] = telling[how / 4 % sizeof telling];
        else if (how % 4 == 1)
            copy[at] ^= (uint8_t)(1 << (how / 4 % 8));
        else if (how % 4 == 2)
            copy[at] = (uint8_t)(how >> 8);
        else
            memmove(copy + at, copy + at / 2, length - at);
    }
    try(copy, length);
}

static void replay(const char *path, unsigned rounds)
{
    uint8_t bytes[4096] = {0};
    FILE *file = fopen(path, "rb");
    if (file == NULL) return;
    size_t length = fread(bytes, 1, sizeof bytes, file);
    uint64_t random = 77 + length;
    fclose(file);
    for (size_t cut = 0; cut <= length; cut++) try(bytes, cut);
    for (size_t longer = length + 1; longer <= LONGEST; longer += 61) try(bytes, longer);
    for (unsigned i = 0; i < rounds; i++) change(&random, bytes, length);
}

int main(int count, char **arguments)
{
    const char *rounds = getenv("ROUNDS");
    unsigned files = 0;
    for (int i = 1; i < count; i++) {
        DIR *folder = opendir(arguments[i]);
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            char path[4096];
            if (entry->d_name[0] == '.') continue;
            snprintf(path, sizeof path, "%s/%s", arguments[i], entry->d_name);
            replay(path, rounds ? (unsigned)atoi(rounds) : 200);
            files++;
        }
        if (folder) closedir(folder);
    }
    printf("%u files\n", files);
    return files == 0;
}
