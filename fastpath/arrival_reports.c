#include "arrival_reports.h"

#include <errno.h>
#include <stdlib.h>

#include "compounds.h"
#include "worker.h"

int arrival_reports_open(struct arrival_reports *reports, uint32_t transports)
{
    *reports = (struct arrival_reports){.due_ns = UINT64_MAX};
    reports->logs = calloc(transports, sizeof *reports->logs); /* pages come as they are used */
    reports->reports = calloc(transports, sizeof *reports->reports);
    reports->listed = calloc(transports, sizeof *reports->listed);
    return reports->logs && reports->reports && reports->listed ? 0 : -ENOMEM;
}

void arrival_reports_close(struct arrival_reports *reports)
{
    free(reports->logs);
    free(reports->reports);
    free(reports->listed);
    *reports = (struct arrival_reports){.due_ns = UINT64_MAX};
}

/* The next look is at `due_ns`, or as soon as looks may follow each other. */
static void look_at(struct arrival_reports *reports, uint64_t due_ns)
{
    uint64_t soonest = reports->scanned_ns + ARRIVAL_REPORTS_SCAN_NS;
    if (due_ns < soonest) due_ns = soonest;
    if (due_ns < reports->due_ns) reports->due_ns = due_ns;
}

void arrival_reports_note(struct worker *worker, uint32_t transport, uint16_t sequence,
                          uint32_t ssrc, bool repair, uint64_t now_ns)
{
    struct arrival_reports *reports = &worker->arrival_reports;
    struct arrival_report *report = &reports->reports[transport];
    struct arrival_log *log = &reports->logs[transport];
    uint32_t incarnation = worker->transports[transport].incarnation;
    if (report->incarnation != incarnation) {
        *report = (struct arrival_report){.incarnation = incarnation, .listed = report->listed};
        *log = (struct arrival_log){0};
    }
    if (!repair || !report->has_media) {
        report->media_ssrc = ssrc;
        report->has_media = !repair;
    }
    arrivals_add(log, sequence, worker->arrived_ns ? worker->arrived_ns : now_ns);
    report->due_ns = arrivals_due_ns(log);
    if (report->due_ns == UINT64_MAX) return;
    if (!report->listed) {
        report->listed = true;
        reports->listed[reports->listed_count++] = transport;
    }
    look_at(reports, report->due_ns);
}

/* Tells one sender; false = it cannot be told, or is not there any more. */
static bool tell(struct worker *worker, uint32_t transport, uint64_t now_ns)
{
    struct arrival_report *report = &worker->arrival_reports.reports[transport];
    struct arrival_log *log = &worker->arrival_reports.logs[transport];
    if (!report->incarnation || worker->transports[transport].incarnation != report->incarnation)
        return false;
    for (unsigned i = 0; i < ARRIVAL_REPORTS_AT_ONCE && arrivals_due_ns(log) <= now_ns; i++) {
        if (!compound_send_arrivals(worker, transport, log, report->media_ssrc, now_ns)) {
            log->written_ns = now_ns; /* its next packets try again, no sooner than after a good one */
            return false;
        }
        worker_count(worker, COUNTER_transport_cc_sent, 1);
    }
    report->due_ns = arrivals_due_ns(log);
    return report->due_ns != UINT64_MAX;
}

void arrival_reports_tick(struct worker *worker, uint64_t now_ns)
{
    struct arrival_reports *reports = &worker->arrival_reports;
    if (reports->due_ns > now_ns) return;
    reports->scanned_ns = now_ns;
    reports->due_ns = UINT64_MAX;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < reports->listed_count; i++) {
        uint32_t transport = reports->listed[i];
        struct arrival_report *report = &reports->reports[transport];
        if (report->due_ns <= now_ns && !tell(worker, transport, now_ns)) {
            report->listed = false;
            continue;
        }
        reports->listed[kept++] = transport;
        look_at(reports, report->due_ns);
    }
    reports->listed_count = kept;
}
