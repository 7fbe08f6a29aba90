// The types of this project's Matrix events, so that sendEvent and sendStateEvent are checked.

import "matrix-js-sdk";

declare module "matrix-js-sdk/lib/@types/event" {
    interface TimelineEvents {
        "org.matrix.msc2359.conference": Record<string, unknown>;
        "org.matrix.msc2359.ticket": Record<string, unknown>;
        "org.matrix.msc2359.ticket_request": Record<string, unknown>;
        "org.matrix.msc2359.media_keys": Record<string, unknown>;
        "org.matrix.msc2359.hand": Record<string, unknown>;
        "org.matrix.msc2359.reaction": Record<string, unknown>;
        "org.matrix.msc2359.mute_request": Record<string, unknown>;
    }
    interface StateEvents {
        "org.matrix.msc2359.focus": Record<string, unknown>;
        "org.matrix.msc2359.conference": Record<string, unknown>;
    }
}
