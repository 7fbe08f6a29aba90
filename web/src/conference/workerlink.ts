// What the media worker reports, and who wants to know.

import type { Peer } from "../call/peer.ts";
import type { KeyExchange } from "../keys/exchange.ts";
import { MESSAGE, SOURCES, sourceNumber } from "../protocol/names.ts";
import type { MediaWorker } from "../sframe/mediaworker.ts";
import type { SenderReport } from "../sframe/port.ts";
import type { Received } from "./received.ts";

export interface WorkerLinkPorts {
    keys(): KeyExchange | null;
    /** To the focus. */
    send(message: object): void;
    senders(senders: SenderReport[]): void;
    changed(): void;
    fatal(): void;
}

export function linkWorker(worker: MediaWorker, peer: Peer, received: Received, ports: WorkerLinkPorts): void {
    worker.onreceiver = (receiver, report) => {
        received.reported(receiver, report);
        ports.changed();
    };
    worker.onfatal = () => ports.fatal();
    worker.onsenders = (senders) => ports.senders(senders);
    worker.onfreshkey = (number) => {
        const source = SOURCES[number];
        if (source === "camera" || source === "screen") peer.requestOwnKeyFrame(source);
    };
    received.onmissing = (member, source, epoch, since) => {
        const asked = ports.keys()?.keyMissing(member, sourceNumber(source), epoch, since / 1000);
        if (asked) ports.send({ type: MESSAGE.missingKey, content: { member, source } });
    };
}
