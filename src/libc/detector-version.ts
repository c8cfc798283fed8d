/**
 * Version of the rules by which verdicts are found. One more whenever a change of the rules can change a verdict: what an
 * older version has stored still answers, and is looked up afresh in the background.
 */
export const DETECTOR_VERSION = 1;
