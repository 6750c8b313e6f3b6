-- What topic_owner.lua says. Run it with: hookwire policy test scripts/policies/topic_owner.lua

local url = "http://lists.internal/topics"
local asked = "GET " .. url
local function as(user, claims)
	return { user_id = user, claims = claims or {} }
end
local lists = { ["room:blue"] = { owner = "bob", follow = { "alice" } } }
local served, down = { { url = url, json = lists } }, { { url = url, error = "connection refused" } }

return {
	config = { topics = {
		["channel:news"] = { owner = "alice", follow = { "*" }, publish = { "bob" } },
		["room:red"] = { owner = "alice", follow = { "role:staff", "carol" }, publish = { "role:host" } },
		["channel:dave"] = { owner = "erin" },
	} },
	ask = "subscribe",

	case { name = "the owner may everything", session = as("alice"), topic = "room:red",
		steps = { { expect = "allow" }, { ask = "presence", expect = "allow" }, { ask = "publish", expect = "allow", act_as = false } } },
	case { name = "who is on the list follows", session = as("carol"), topic = "room:red",
		steps = { { expect = "allow" }, { ask = "publish", expect = "deny", message = "its owner does not let you publish" } } },
	case { name = "who may publish may follow", session = as("bob"), topic = "channel:news",
		steps = { { expect = "allow" }, { ask = "publish", expect = "allow" } } },
	case { name = "a role is on the list", topic = "room:red",
		steps = {
			{ session = as("x", { role = "staff" }), expect = "allow" },
			{ session = as("x", { roles = { "other", "host" } }), expect = "allow" },
			{ session = as("x", { roles = { "other", "host" } }), ask = "publish", expect = "allow" },
			{ session = as("role:staff"), expect = "deny" },
		} },
	case { name = "everybody may follow the news", session = as("x"), topic = "channel:news", expect = "allow" },
	case { name = "who is on no list may nothing", session = as("x"), topic = "room:red", expect = "deny", code = "forbidden_topic",
		message = "its owner has not let you in" },
	case { name = "a topic without a list is nobody's", session = as("x"), topic = "room:x", expect = "deny" },
	case { name = "but a personal one is its user's", session = as("carol"),
		steps = {
			{ topic = "channel:carol", expect = "allow" },
			{ topic = "channel:carol", ask = "publish", expect = "allow" },
			{ topic = "channel:bob", expect = "deny" },
		} },
	case { name = "a list takes a personal one away", session = as("dave"), topic = "channel:dave", expect = "deny" },
	case { name = "all topics are for roles that are above", topic = "room:*", ask = "wildcard",
		steps = {
			{ session = as("alice"), expect = "deny", message = "not all of them are yours" },
			{ session = as("x", { role = "admin" }), expect = "allow" },
			{ session = as("x", { role = "service" }), expect = "allow" },
			{ session = as("x", { role = "admin" }), ask = "subscribe", topic = "room:red", expect = "allow" },
			{ session = as("x", { role = "admin" }), ask = "publish", topic = "room:red", expect = "allow", act_as = false },
			{ session = as("x", { role = "service" }), ask = "publish", topic = "room:red", expect = "allow", act_as = true },
		} },
	case { name = "a list that is no list lets nobody in", config = { topics = { ["room:a"] = { owner = "bob", follow = "alice", publish = 5 } } },
		session = as("alice"), topic = "room:a", expect = "deny" },

	case { name = "lists come from a service", config = { url = url, token = "t0k" }, topic = "room:blue", http = {
			{ url = url, with_headers = { Authorization = "Bearer t0k" }, json = lists } },
		steps = {
			{ session = as("alice"), expect = "allow", requests = { asked } },
			{ session = as("bob"), ask = "publish", expect = "allow", requests = {} },
			{ session = as("eve"), expect = "deny", requests = {} },
			{ session = as("eve"), topic = "room:none", expect = "deny", requests = {} },
		} },
	case { name = "and are asked for again", config = { url = url }, topic = "room:blue", session = as("alice"),
		steps = {
			{ http = served, expect = "allow" },
			{ http = { { url = url, json = {} } }, ask = "wait", wait_ms = 30000, requests = { asked } },
			{ http = { { url = url, json = {} } }, wait_ms = 1, expect = "deny", requests = {} },
		} },
	case { name = "a reload asks for nothing that is known", config = { url = url }, topic = "room:blue", session = as("alice"),
		steps = {
			{ http = served, expect = "allow", requests = { asked } },
			{ ask = "reload" },
			{ http = down, expect = "allow", requests = {} },
		} },
	case { name = "a service that is down: what is known counts for a while", config = { url = url, max_age_s = 60 },
		topic = "room:blue", session = as("alice"),
		steps = {
			{ http = served, expect = "allow" },
			{ http = down, wait_ms = 59000, expect = "allow", log = "connection refused" },
			{ http = down, wait_ms = 2000, expect = "unavailable", message = "who may follow this is not known right now" },
			{ http = down, ask = "publish", expect = "unavailable", message = "who may publish to this is not known right now" },
			{ http = served, expect = "allow" },
		} },
	case { name = "nothing that is no object is a list", config = { url = url }, topic = "room:blue", session = as("alice"),
		http = { { url = url, body = "<html>" } }, expect = "unavailable", log = "what comes is no JSON object" },
	case { name = "the settings come before the service",
		config = { url = url, topics = { ["room:blue"] = { owner = "alice" } } }, topic = "room:blue", http = served,
		steps = { { session = as("alice"), expect = "allow", requests = {} }, { session = as("bob"), expect = "deny", requests = {} } } },
}
