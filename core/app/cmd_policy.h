/* hookwire policy test|eval|replay: what a policy says, without a broker. */
#pragma once

/** Returns the exit code. */
int hw_cmd_policy(int argc, char **argv);
/* The words of it: argv[0] is the whole name. */
int hw_cmd_policy_test(int argc, char **argv);
int hw_cmd_policy_eval(int argc, char **argv);
int hw_cmd_policy_replay(int argc, char **argv);
