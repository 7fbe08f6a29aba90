/* A reader of tables as strict as a test can be, for the C tests and, through ctypes, for those in Python. */
#ifndef SOTTO_TABLE_READER_H
#define SOTTO_TABLE_READER_H

#include "table.h"

struct table_reader {
    struct config_view config;
    struct state_view state;
    struct generation_view view;
    uint64_t number; /* adopted, 0 = none */
};

/* Maps both segments. 0 or a negative errno. */
int table_reader_open(struct table_reader *reader, int config_fd, int state_fd);
void table_reader_close(struct table_reader *reader);
/* As table_adopt. */
int table_reader_adopt(struct table_reader *reader);
/* Of the adopted generation: every row has its check value, every relation holds, and all rows bear the stamp of one
   generation: conference of transports, member of sources, ssrc of sinks. Returns the stamp (0 = no rows) or a negative line number. */
int64_t table_reader_verify(const struct table_reader *reader);
/* Adopts and verifies, holding each generation for `hold_ns`, until CLOCK_MONOTONIC `until_ns`. Counts generations into `adopted`;
   returns 0, or the negative line number of the first fault. */
int64_t table_reader_run(struct table_reader *reader, uint64_t until_ns, uint64_t hold_ns, uint64_t *adopted);
/* Are these bytes anywhere in the config segment? */
int table_reader_finds(const struct table_reader *reader, const void *bytes, size_t length);
/* What a worker would store. */
void table_reader_beat(const struct table_reader *reader, uint64_t now_ns);
void table_reader_serve(const struct table_reader *reader, uint32_t transport, uint32_t source,
                        uint32_t sink, uint64_t now_ns);

#endif
