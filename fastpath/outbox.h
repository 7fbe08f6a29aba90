/* Messages to control that wait until the shell can send them: one bounded queue in private memory. */
#ifndef SOTTO_OUTBOX_H
#define SOTTO_OUTBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "uplink.h"

struct outbox_message {
    struct uplink_head head;
    uint8_t payload[LIMIT_UPLINK_PAYLOAD];
};

struct outbox {
    struct outbox_message *messages; /* a ring of LIMIT_OUTBOX */
    uint32_t first, count;
};

int outbox_open(struct outbox *outbox); /* 0 or -ENOMEM */
void outbox_close(struct outbox *outbox);
/* Copies the message. False when the queue is full or the payload too long. */
bool outbox_put(struct outbox *outbox, const struct uplink_head *head, const void *payload);
/* The oldest message, its head and payload in one piece, or NULL; `length` = bytes of both. */
const void *outbox_peek(const struct outbox *outbox, size_t *length);
void outbox_pop(struct outbox *outbox);

#endif
