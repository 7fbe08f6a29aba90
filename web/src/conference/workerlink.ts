// What the media worker reports, and who wants to know.

import type { KeyExchange } from "../keys/exchange.ts";
import { MESSAGE, SOURCES, sourceNumber, type Source } from "../protocol/names.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import type { SenderReport } from "../sframe/port.ts";
import type { Connections } from "./connections.ts";

export interface WorkerLinkPorts {
    senders(senders: SenderReport[]): void;
    changed(): void;
    fatal(): void;
}

export function linkWorker(worker: MediaWorker, connections: Connections, ports: WorkerLinkPorts): void {
    worker.onreceiver = (receiver, report) => {
        connections.reported(receiver, report);
        ports.changed();
    };
    worker.onfatal = () => ports.fatal();
    worker.onsenders = (senders) => ports.senders(senders);
    worker.onfreshkey = (number) => {
        const source = SOURCES[number];
        if (source === "camera" || source === "screen") connections.peer.requestOwnKeyFrame(source);
    };
}

/** Asks the one whose key it is; the focus is told that somebody was asked, and counts. `since` in ms. */
export function askForKey(keys: KeyExchange | null, send: (message: object) => void, member: number, source: Source, epoch: number, since: number): void {
    if (keys?.keyMissing(member, sourceNumber(source), epoch, since / 1000)) send({ type: MESSAGE.missingKey, content: { member, source } });
}
