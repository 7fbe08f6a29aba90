#include "table_reader.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>

#define REFUSE return -(int64_t)__LINE__

static void *map_all(int fd, size_t *size)
{
    struct stat status;
    if (fstat(fd, &status) != 0) return MAP_FAILED;
    *size = (size_t)status.st_size;
    return mmap(NULL, *size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
}

int table_reader_open(struct table_reader *reader, int config_fd, int state_fd)
{
    memset(reader, 0, sizeof(*reader));
    size_t size;
    void *memory = map_all(config_fd, &size);
    if (memory == MAP_FAILED) return -errno;
    int failed = table_config_attach(memory, size, &reader->config);
    if (failed) return failed;
    memory = map_all(state_fd, &size);
    if (memory == MAP_FAILED) return -errno;
    return table_state_attach(memory, size, &reader->state);
}

void table_reader_close(struct table_reader *reader)
{
    if (reader->config.header) munmap(reader->config.header, reader->config.size);
    if (reader->state.header) munmap(reader->state.header, reader->state.size);
    memset(reader, 0, sizeof(*reader));
}

int table_reader_adopt(struct table_reader *reader)
{
    int result = table_adopt(&reader->config, reader->number, &reader->view);
    if (result == 1) reader->number = reader->view.head->number;
    return result;
}

int64_t table_reader_verify(const struct table_reader *reader)
{
    const struct generation_view *view = &reader->view;
    uint32_t stamp = 0;
    if (view->head->number != reader->number) REFUSE;
    for (uint32_t i = 0; i < view->head->transport_limit; i++) {
        const struct transport_row *row = &view->transports[i];
        if (row->incarnation == 0) continue;
        if (row->check != row_check(row, sizeof(*row))) REFUSE;
        if (stamp == 0) stamp = row->conference;
        if (row->conference != stamp) REFUSE;
    }
    for (uint32_t i = 0; i < view->head->source_limit; i++) {
        const struct source_row *row = &view->sources[i];
        if (row->incarnation == 0) continue;
        if (row->check != row_check(row, sizeof(*row))) REFUSE;
        if (row->member != stamp) REFUSE;
        if (row->transport >= view->head->transport_limit) REFUSE;
        if (view->transports[row->transport].incarnation != row->transport_incarnation) REFUSE;
    }
    for (uint32_t i = 0; i < view->head->sink_limit; i++) {
        const struct sink_row *row = &view->sinks[i];
        if (row->incarnation == 0) continue;
        if (row->check != row_check(row, sizeof(*row))) REFUSE;
        if (row->ssrc != stamp) REFUSE;
        if (row->transport >= view->head->transport_limit || row->source >= view->head->source_limit)
            REFUSE;
        if (view->transports[row->transport].incarnation != row->transport_incarnation) REFUSE;
        if (view->sources[row->source].incarnation != row->source_incarnation) REFUSE;
    }
    return stamp;
}

static uint64_t now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

int64_t table_reader_run(struct table_reader *reader, uint64_t until_ns, uint64_t hold_ns, uint64_t *adopted)
{
    while (now() < until_ns) {
        int result = table_reader_adopt(reader);
        if (result < 0) REFUSE;
        if (reader->number == 0) continue;
        *adopted += (uint64_t)result;
        int64_t stamp = table_reader_verify(reader);
        if (stamp < 0) return stamp;
        /* The writer goes on meanwhile; what is held must stay as it is. */
        for (uint64_t end = now() + hold_ns; result == 1 && now() < end;)
            if (table_reader_verify(reader) != stamp) REFUSE;
    }
    return 0;
}

int table_reader_finds(const struct table_reader *reader, const void *bytes, size_t length)
{ return memmem(reader->config.header, reader->config.size, bytes, length) != NULL; }

void table_reader_beat(const struct table_reader *reader, uint64_t now_ns)
{ atomic_store(&reader->state.header->heartbeat_ns, now_ns); }

void table_reader_serve(const struct table_reader *reader, uint32_t transport, uint32_t source,
                        uint32_t sink, uint64_t now_ns)
{
    const struct generation_view *view = &reader->view;
    struct transport_state *of_transport = &reader->state.transports[transport];
    state_row_reset(of_transport, sizeof(*of_transport), view->transports[transport].incarnation);
    of_transport->connected = 1;
    of_transport->consent_ns = now_ns;
    of_transport->rx_packets = 10;
    of_transport->rx_bytes = 11;
    of_transport->tx_packets = 12;
    of_transport->tx_bytes = 13;

    struct source_state *of_source = &reader->state.sources[source];
    state_row_reset(of_source, sizeof(*of_source), view->sources[source].incarnation);
    of_source->encodings[0].ssrc = 77;
    of_source->encodings[0].live = 1;
    of_source->encodings[0].received = 5;
    of_source->encodings[0].bytes = 600;
    of_source->encodings[0].jitter = 16 * 9;
    of_source->encodings[0].last_packet_ns = now_ns;

    struct sink_state *of_sink = &reader->state.sinks[sink];
    state_row_reset(of_sink, sizeof(*of_sink), view->sinks[sink].incarnation);
    of_sink->packets = 20;
    of_sink->octets = 2000;
    of_sink->copies[1].version = 1;
    of_sink->copies[1].started = 1;
    of_sink->copies[1].source = source;
    of_sink->copies[1].source_incarnation = view->sources[source].incarnation;
    of_sink->copies[1].encoding = 2;

    counter_add(&reader->state, COUNTER_rtp_forwarded, 42);
}
