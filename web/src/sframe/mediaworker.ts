// The page's side of the media worker.

import { count } from "../guard.ts";
import type { FromWorker, SenderReport, ToWorker, TransformOptions } from "./port.ts";
import type { Report } from "./verdict.ts";

/** The older interface of Chromium: a sender or receiver hands its streams out. */
interface WithStreams {
    createEncodedStreams(): { readable: ReadableStream; writable: WritableStream };
}

const hasScriptTransform = "RTCRtpScriptTransform" in globalThis;
const hasEncodedStreams = "RTCRtpSender" in globalThis && "createEncodedStreams" in RTCRtpSender.prototype;

export const canTransform = hasScriptTransform || hasEncodedStreams;
/** createEncodedStreams works only on connections made for it. */
export const connectionOptions = hasScriptTransform ? {} : { encodedInsertableStreams: true };

export class MediaWorker {
    onreceiver: (receiver: string, report: Report) => void = () => undefined;
    onsenders: (senders: SenderReport[]) => void = () => undefined;
    onfreshkey: (source: number) => void = () => undefined;
    /** It could not be loaded: nothing will pass, in or out. */
    onfatal: () => void = () => undefined;
    receiveKeys = 0;
    readonly #worker: Worker;
    #heard = false;
    #named = { audio: 0, video: 0 };
    #lanes = 0;

    constructor() {
        this.#worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module", name: "sotto media" });
        this.#worker.onmessage = (event: MessageEvent<FromWorker>) => this.#take(event.data);
        this.#worker.onerror = () => {
            count("media worker error");
            if (!this.#heard) this.onfatal();
        };
    }

    post(message: ToWorker): void {
        this.#worker.postMessage(message);
    }

    /** For one more connection. */
    nameLane(): number {
        return this.#lanes++;
    }

    /** A name for one more receiver, of any connection; none is used again, because the worker remembers them. */
    nameReceiver(kind: "audio" | "video"): string {
        return `${kind}${this.#named[kind]++}`;
    }

    /** Must be called before media flows: what has no transform yet would pass as it is. */
    attach(end: RTCRtpSender | RTCRtpReceiver, options: TransformOptions): void {
        if (hasScriptTransform) {
            end.transform = new RTCRtpScriptTransform(this.#worker, options);
            return;
        }
        const { readable, writable } = (end as unknown as WithStreams).createEncodedStreams();
        this.#worker.postMessage({ type: "streams", options, readable, writable } satisfies ToWorker, [readable, writable]);
    }

    close(): void {
        this.#worker.terminate();
    }

    #take(message: FromWorker): void {
        this.#heard = true;
        if (message.type === "receiver") this.onreceiver(message.receiver, message.report);
        else if (message.type === "senders") {
            this.receiveKeys = message.receiveKeys;
            this.onsenders(message.senders);
        } else if (message.type === "fresh_key") this.onfreshkey(message.source);
        else count(`media worker ${message.what}`);
    }
}
