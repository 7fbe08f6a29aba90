// Every bound on what others may make this client do, and what another value would cost.

/** Data channel text. Larger than the contract's 16 KiB so that `m.call.negotiate` (64 KiB) fits. */
export const MAX_MESSAGE_CHARS = 65536;
/** Members in one roster. Higher lets a faulty focus fill memory; the member number itself ends at 65535. */
export const MAX_MEMBERS = 2000;
export const MAX_MEMBER_NUMBER = 0xffff;
/** What a person can limit a conference to. The focus has its own limit, 500 as a rule: more promises what it does not keep. */
export const MAX_MEMBERS_WISHED = 500;
/** Slot pairs in the invite. More make the first event larger (about 1.7 kB each), fewer cost an early re-offer. */
export const FIRST_SLOT_PAIRS = 4;
export const SLOT_PAIR_STEP = 4;
export const MAX_SLOT_PAIRS = 16;
/** Audio sections beyond the pairs, for the loudest of those who have no pair. More cost an idle section each; with fewer, people
 * who speak at once cut each other off. */
export const LOUDEST_SLOTS = 3;
/** Slots that one message of the focus may name. */
export const MAX_SLOTS = 256;

/** What is wished of so many tracks goes into one message: about 110 bytes each, and a message may have 16 KiB. */
export const SUBSCRIPTIONS_PER_MESSAGE = 100;
/** Sizes of tiles may settle for this long, ms, before the focus is told. A click is told at once. */
export const SIZE_SETTLE_MS = 150;
/** A page that is out of sight this long gets no more pictures, ms. Lower blinks when people glance at another tab, higher wastes their network. */
export const AWAY_MS = 5000;
/** Statistics are read this often, ms. Lower costs a slow machine time that its pictures need. */
export const QUALITY_MS = 2000;

/** Nothing comes of a source that is on and asked for, after the 2 s that make a silence: said after so long, ms. Lower: a change of layers or one bad
 * moment is called so; higher: what a server holds back shows later. */
export const OVERDUE_MS = 3000;
/** The same of a screen that was seen: a still one sends hardly anything. */
export const STILL_MS = 10000;
/** How often it is looked for, ms. */
export const OVERDUE_LOOK_MS = 1000;

/** A hand stays up this long unless it is taken down, ms: its owner's page may have gone without a word. */
export const HAND_MS = 30 * 60000;
/** For somebody who just joined a raised hand is said again, at most once in this time, ms. */
export const HAND_AGAIN_MS = 10000;
/** How long a reaction is shown, and how soon the same person may send the next, ms. Lower meets homeserver rate limits. */
export const REACTION_MS = 5000;
export const REACTION_PAUSE_MS = 2000;

/** One key event per member in this time, s. Lower meets homeserver rate limits, higher makes newcomers wait. */
export const KEY_COALESCE_S = 5;
/** A rotated key waits this long after it was sent, s. Lower loses frames at slow receivers, higher lets the one who left listen on. */
export const KEY_GRACE_S = 1;
/** After a failed sending of keys, s. */
export const KEY_RETRY_S = 3;
/** One question for a missing key per member in this time, s. */
export const KEY_REQUEST_S = 3;
/** A key may be on its way: frames without a key for this long, s, before anybody is asked. */
export const KEY_PATIENCE_S = 0.35;
/** Key entries of members the roster does not know yet. */
export const MAX_EARLY_KEYS = 256;
/** Epochs of one source whose keys stay usable: the current and the one before (frames still in flight). */
export const EPOCHS_KEPT = 2;
/** Ratchet steps derived ahead of a known key for one frame. Higher lets a forged header cost more hashing. */
export const MAX_RATCHET_AHEAD = 16;
/** Counters remembered per KID against replay. Lower drops frames of layers that interleave at a switch. */
export const REPLAY_WINDOW = 1024;

/** Clocks of homeservers and of a conference's creator may differ by this much, ms. */
export const CLOCK_SKEW_MS = 60000;
/** A clock so far off makes every proof look expired (the focus allows 5 minutes): another ticket does not help. */
export const CLOCK_HOPELESS_MS = 4 * 60000;

/** Events read back in a room's history when looking for a ticket: pages and events per page. */
export const HISTORY_PAGES = 4;
export const HISTORY_PAGE_EVENTS = 50;
/** A ticket that another device may still be decrypting, ms, before it is asked for. */
export const TICKET_PATIENCE_MS = 2000;
/** Nobody answered a request for the ticket in this time, ms: two members had their turn (0 s and 3 s). */
export const TICKET_ANSWER_MS = 5000;
/** After this much of it the focus is asked whether it knows the conference at all, ms. */
export const TICKET_DOUBT_MS = 1000;
/** So often the ticket is asked for while the focus knows the conference: until a vanished last member's consent is over. */
export const TICKET_ROUNDS = 5;
/** A conference announced more recently may not have reached the focus yet, ms. */
export const CONFERENCE_YOUNG_MS = 15000;
/** Tickets of epochs that may become current. Lower: false ones put a true one out; higher: memory for whoever sends many. */
export const TICKETS_KEPT = 8;
/** A ticket that is numbered so much higher than the current one is none. Higher: one false one, and there is no number left for the
 * next; lower: after so many epochs that came to nothing no new one is found. */
export const EPOCHS_AHEAD = 1000;
/** Between two answers to ticket requests, by rank of the answering member, ms. */
export const TICKET_RANK_MS = 3000;
/** One member gives the ticket at most once in this time, ms: asking must not use up its homeserver's patience. */
export const TICKET_PAUSE_MS = 2000;
/** Between two new ticket epochs of ours, ms. Shorter: a crowd that leaves costs a timeline message each. Longer: who left is inside longer. */
export const EPOCH_PAUSE_MS = 10000;

/** The homeserver ends what a page announces that it has not heard of for so long, ms. Lower: a short outage of either ends an
 * announcement; higher: a dead conference is shown for longer. */
export const SWITCH_MS = 60000;
/** A homeserver that does not answer is asked again after so long, ms. Higher: one that comes back ends what is alive, or learns late that
 * it lives. Lower: requests in vain. */
export const SWITCH_RETRY_MS = 2000;
/** Where a switch, and nobody, ended a conference, it may go on: who comes then waits so long for those inside to say so, ms. Lower:
 * after an outage of the homeserver newcomers begin a second one; higher: a dead one holds them up. */
export const CARRIED_AGAIN_MS = 8000;
/** For so long after the switch was due, ms. Lower: not after longer outages; higher: who comes where the last one vanished waits in vain for longer. */
export const SWITCHED_OFF_MS = 3600000;
/** An announcement whose announcer is gone is missed for this long, ms, and by rank longer, before it is carried on: one that is on its way is waited for. */
export const CARRY_ON_MS = 1000;
/** Whoever announces a conference and leaves it waits so long for somebody else to announce it, ms. */
export const CARRIED_ON_MS = 5000;
/** Two conferences of a room that were announced within this time, ms, were begun by people who did not know of each other. Lower: a
 * slow homeserver keeps them apart; higher: whoever begins a second one at once is taken for one of them. */
export const BEGUN_AT_ONCE_MS = 5000;

/** Waiting for the focus to enter the direct-message room, for its answer, and for media and data channel, ms. */
export const FOCUS_JOIN_MS = 20000;
export const ANSWER_MS = 25000;
export const CONNECT_MS = 15000;
/** `lifetime` of an invite, ms. */
export const INVITE_LIFETIME_MS = 60000;

/** A connection that is interrupted for this long is taken for lost, ms. Lower: a second one is made where the first comes back. */
export const INTERRUPTED_MS = 3000;
/** A path that is interrupted for this long is looked for anew, ms. Lower: a timeline message for a flicker; higher: a change of the network is felt. */
export const RESTART_AFTER_MS = 300;
/** No second time within, ms: each costs two timeline messages, of which stock homeservers take one in 5 s. */
export const RESTART_PAUSE_MS = 10000;
/** Waiting for the answer to an offer through the room, and then for the new path, ms; a second connection is made when it is over. */
export const NEGOTIATED_MS = 5000;
export const RESTARTED_MS = 2000;
/** Waiting for the focus' answer over HTTP, ms. */
export const RESUME_ANSWER_MS = 10000;
/** The first connection keeps showing what the second does not show yet, at most this long, ms; the focus ends it after 10 s. */
export const HANDOVER_MS = 6000;
/** How often it is looked whether the second shows something, ms. */
export const HANDOVER_READ_MS = 200;
/** A connection that has failed for this long is given up for a new call, ms: the focus has forgotten the member after 30 s without it. */
export const RESUME_LOST_MS = 40000;
