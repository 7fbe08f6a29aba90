#ifndef SOTTO_LOAD_PLAN_FILE_H
#define SOTTO_LOAD_PLAN_FILE_H

#include "plan.h"

struct plan {
    struct plan_head head;
    struct plan_member *members;
    struct plan_source *sources;
    struct plan_sink *sinks;
};

int plan_read(struct plan *plan, const char *path); /* 0, or -1: cannot be read, or is no plan */

#endif
