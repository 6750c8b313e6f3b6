#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "app/cmd_policy.h"
#include "app/policy_eval.h"
#include "wire/topic.h"

#define ADDRESS "127.0.0.1"

static const char usage[] =
	"usage: hookwire policy eval -c FILE --tenant TENANT --user USER [OPTIONS] WHAT\n"
	"       hookwire policy eval -c FILE [OPTIONS] authenticate [TOKEN]\n"
	"\n"
	"Asks the hooks of a configuration one question, as the broker would, and prints the\n"
	"answer. Hooks do all that they do in the broker: what they ask over HTTP is asked.\n"
	"\n"
	"WHAT is one of\n"
	"  subscribe TOPIC         may they follow it? \"gift-list:*\" is the wildcard\n"
	"  publish TOPIC [EVENT]   may they publish to it? EVENT is JSON\n"
	"  presence TOPIC          may they see who is there?\n"
	"  session                 may they have a session at all?\n"
	"  transform EVENT         what becomes of it?\n"
	"  filter EVENT            do they get it, and what of it? (filter, then redact)\n"
	"  authenticate [TOKEN]    who is it? Without TOKEN that of $HOOKWIRE_TOKEN\n"
	"\n"
	"  -c, --config FILE   the configuration\n"
	"  --tenant TENANT     the session's tenant\n"
	"  --user USER         its user\n"
	"  --claims JSON       its claims, an object (default: {})\n"
	"  --address ADDRESS   its address (default: 127.0.0.1)\n"
	"  --event EVENT       instead of the word EVENT\n"
	"  --audience JSON     of filter, instead of --user and --claims:\n"
	"                      {\"user_id\": \"bob\", \"claims\": {\"role\": \"guest\"}}\n"
	"  --explain           say what each hook of the chain answered, and which one decided\n"
	"  -h, --help          this text\n"
	"\n"
	"Exit status: 0 if it is allowed, 1 if it is not, 2 if it could not be asked.\n";

static const struct hw_eval_operation operations[] = {
	{"subscribe", HW_STAGE_AUTHORIZE, HW_OP_SUBSCRIBE, true, false},
	{"publish", HW_STAGE_AUTHORIZE, HW_OP_PUBLISH, true, false},
	{"presence", HW_STAGE_AUTHORIZE, HW_OP_PRESENCE, true, false},
	{"session", HW_STAGE_AUTHORIZE, HW_OP_SESSION, false, false},
	{"transform", HW_STAGE_TRANSFORM, 0, false, true},
	{"filter", HW_STAGE_FILTER, 0, false, true},
	{"authenticate", HW_STAGE_AUTHENTICATE, 0, false, false},
};

static const struct hw_eval_operation *find_operation(const char *name)
{
	for (size_t i = 0; name && i < HW_COUNT(operations); i++)
		if (strcmp(operations[i].name, name) == 0)
			return &operations[i];
	return NULL;
}

static bool is_object(const char *text)
{
	json_t *value = json_loads(text, 0, NULL);
	bool is = json_is_object(value);

	json_decref(value);
	return is;
}

/* Takes the user and the claims out of --audience. NULL, or what is wrong. */
static const char *take_audience(struct hw_eval_options *o)
{
	json_t *audience = json_loads(o->audience, 0, NULL), *value;
	const char *wrong = json_is_object(audience) ? NULL : "--audience is a JSON object", *key;

	json_object_foreach(audience, key, value)
	{
		if ((strcmp(key, "user_id") == 0 || strcmp(key, "user") == 0) &&
			json_is_string(value) && !o->audience_user)
			o->audience_user = strdup(json_string_value(value));
		else if (strcmp(key, "claims") == 0 && json_is_object(value))
			o->audience_claims = json_dumps(value, JSON_COMPACT);
		else
			wrong = "--audience has user_id, a text, and claims, an object: "
				"{\"user_id\": \"bob\", \"claims\": {\"role\": \"guest\"}}";
	}
	json_decref(audience);
	if (o->audience_user)
		o->user = o->audience_user;
	if (o->audience_claims)
		o->claims = o->audience_claims;
	/* who reads nothing of the user need not be told one */
	if (!o->user)
		o->user = "nobody";
	return wrong;
}

/* What is wrong with it, NULL: nothing. */
static const char *wrong_with(
	const struct hw_eval_options *o, const struct hw_eval_operation *operation)
{
	if (!operation)
		return "it asks nothing: subscribe, publish, presence, session, transform, "
		       "filter or authenticate";
	if (!o->config)
		return "it needs -c FILE";
	if (operation->stage == HW_STAGE_AUTHENTICATE)
		return o->token && *o->token ? NULL
					     : "authenticate needs a TOKEN, or $HOOKWIRE_TOKEN";
	if (o->audience && operation->stage != HW_STAGE_FILTER)
		return "--audience is of filter";
	if (!o->tenant || !hw_tenant_id_valid(hw_str_of(o->tenant)))
		return "it needs --tenant TENANT";
	if (!o->user || !hw_user_id_valid(hw_str_of(o->user)))
		return "it needs --user USER";
	if (!is_object(o->claims))
		return "--claims is a JSON object: '{\"role\":\"admin\"}'";
	if (operation->topic && !o->topic)
		return "it needs a TOPIC";
	if (o->topic && !(operation->operation == HW_OP_SUBSCRIBE
					? hw_topic_pattern_valid(hw_str_of(o->topic))
					: hw_topic_valid(hw_str_of(o->topic))))
		return "the topic is none: resource:id";
	if ((operation->event || o->event) && (!o->event || !is_object(o->event)))
		return "the EVENT is a JSON object";
	return NULL;
}

/* @n words after the options. NULL or what is wrong. */
static const char *take_words(
	struct hw_eval_options *o, const struct hw_eval_operation *operation, int n, char **words)
{
	int used = 1;

	if (!operation)
		return NULL;
	if (operation->stage == HW_STAGE_AUTHENTICATE) {
		o->token = used < n ? words[used++] : getenv("HOOKWIRE_TOKEN");
	} else {
		if (operation->topic && used < n)
			o->topic = words[used++];
		if (!o->event && used < n &&
			(operation->event || operation->operation == HW_OP_PUBLISH))
			o->event = words[used++];
	}
	return used < n ? "there is a word too many" : NULL;
}

int hw_cmd_policy_eval(int argc, char **argv)
{
	static const struct option options[] = {
		{"config", required_argument, NULL, 'c'},
		{"tenant", required_argument, NULL, 'T'},
		{"user", required_argument, NULL, 'U'},
		{"claims", required_argument, NULL, 'C'},
		{"address", required_argument, NULL, 'A'},
		{"event", required_argument, NULL, 'V'},
		{"audience", required_argument, NULL, 'W'},
		{"explain", no_argument, NULL, 'E'},
		{"help", no_argument, NULL, 'h'},
		{NULL, 0, NULL, 0},
	};
	struct hw_eval_options o = {.claims = "{}", .address = ADDRESS};
	const struct hw_eval_operation *operation;
	const char *wrong;
	int c, code;

	optind = 1;
	while ((c = getopt_long(argc, argv, "c:h", options, NULL)) != -1) {
		switch (c) {
		case 'h':
			fputs(usage, stdout);
			return 0;
		case 'c':
			o.config = optarg;
			break;
		case 'T':
			o.tenant = optarg;
			break;
		case 'U':
			o.user = optarg;
			break;
		case 'C':
			o.claims = optarg;
			break;
		case 'A':
			o.address = optarg;
			break;
		case 'V':
			o.event = optarg;
			break;
		case 'W':
			o.audience = optarg;
			break;
		case 'E':
			o.explain = true;
			break;
		default:
			fprintf(stderr, "try: %s --help\n", argv[0]);
			return 2;
		}
	}
	o.what = optind < argc ? argv[optind] : NULL;
	operation = find_operation(o.what);
	wrong = take_words(&o, operation, argc - optind, argv + optind);
	if (!wrong && o.audience)
		wrong = take_audience(&o);
	if (!wrong)
		wrong = wrong_with(&o, operation);
	if (wrong)
		fprintf(stderr, "%s: %s; try: %s --help\n", argv[0], wrong, argv[0]);
	code = wrong ? 2 : hw_policy_evaluate(&o, operation);
	free(o.audience_user);
	free(o.audience_claims);
	return code;
}
