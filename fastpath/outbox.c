#include "outbox.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(offsetof(struct outbox_message, payload) == sizeof(struct uplink_head),
               "sent in one piece");

int outbox_open(struct outbox *outbox)
{
    outbox->messages = calloc(LIMIT_OUTBOX, sizeof *outbox->messages);
    outbox->first = outbox->count = 0;
    return outbox->messages ? 0 : -ENOMEM;
}

void outbox_close(struct outbox *outbox)
{
    free(outbox->messages);
    outbox->messages = NULL;
}

bool outbox_put(struct outbox *outbox, const struct uplink_head *head, const void *payload)
{
    if (outbox->count == LIMIT_OUTBOX || head->length > LIMIT_UPLINK_PAYLOAD) return false;
    struct outbox_message *message = &outbox->messages[(outbox->first + outbox->count) % LIMIT_OUTBOX];
    message->head = *head;
    if (head->length) memcpy(message->payload, payload, head->length);
    outbox->count++;
    return true;
}

const void *outbox_peek(const struct outbox *outbox, size_t *length)
{
    if (!outbox->count) return NULL;
    const struct outbox_message *message = &outbox->messages[outbox->first];
    *length = sizeof message->head + message->head.length;
    return message;
}

void outbox_pop(struct outbox *outbox)
{
    outbox->first = (outbox->first + 1) % LIMIT_OUTBOX;
    outbox->count--;
}
