// What the kinds of entries mean, in plain words.

export const MEANINGS = {
  REQUEST: "Somebody’s signed request: to log in, to give or withdraw consent, to open a record.",
  DUPLICATE: "A later copy of a request that was recorded before: the first one counts.",
  BUNDLE: "A service’s one signature over the many events that follow it.",
  EVENT: "Something that a service did, vouched for by the bundle in front of it.",
  SUBJECT_REGISTERED:
    "Somebody was registered with a first key. Who it is stands nowhere in the log.",
  KEY_ADDED: "Somebody added a key of their own.",
  KEY_REVOKED: "A key is not to be trusted any longer.",
  ACCESS: "Somebody opened personal data; that they did is on record for ever.",
  ERASURE_ORDERED: "Somebody asked for their data to be erased.",
  ERASED: "Personal data were erased for good: the key that opened them is destroyed.",
  ERASURE_REFUSED: "An erasure was refused, with a reason.",
  EXPORT: "Somebody received a copy of all that is held about them.",
  POLICY_CHANGE: "The rules of this log changed.",
  MEMBERSHIP_CHANGE: "The authorities that keep this log changed.",
  MISBEHAVIOUR_EVIDENCE: "Proof that one of the keepers broke the rules, signed by itself.",
  RECOVERY: "The log was set going again by force, and says so.",
};

export function kindInWords(kind) {
  const words = kind.toLowerCase().replaceAll("_", " ");
  return words.charAt(0).toUpperCase() + words.slice(1);
}
