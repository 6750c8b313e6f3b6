-- What openfga.lua says. Run it with: hookwire policy test scripts/policies/openfga.lua

local check = "http://fga:8090/stores/s1/check"
local asked = "POST " .. check

-- What the server says to "is this user that of this object?"
local function relation(user, relation, object, allowed)
	return { url = check, method = "POST", with_json = { tuple_key = { user = user, relation = relation, object = object } },
		json = { allowed = allowed, resolution = "" } }
end

local function config(more)
	local out = { api_url = "http://fga:8090", store_id = "s1", types = { doc = "document" } }
	for key, value in pairs(more or {}) do
		out[key] = value
	end
	return out
end

local yes, no = { { url = check, json = { allowed = true } } }, { { url = check, json = { allowed = false } } }

return {
	config = config(),
	ask = "subscribe", topic = "doc:roadmap",

	case { name = "a viewer follows", http = { relation("user:alice", "viewer", "document:roadmap", true) }, expect = "allow" },
	case { name = "who is none does not", http = { relation("user:alice", "viewer", "document:roadmap", false) }, expect = "deny",
		code = "forbidden_topic", message = "you are no viewer of this" },
	case { name = "an editor publishes", ask = "publish", http = { relation("user:alice", "editor", "document:roadmap", true) },
		expect = "allow", act_as = false },
	case { name = "who is there is for viewers", ask = "presence", http = { relation("user:alice", "viewer", "document:roadmap", true) },
		expect = "allow" },
	case { name = "a resource is its own type", topic = "folder:a", http = { relation("user:alice", "viewer", "folder:a", true) },
		expect = "allow" },
	case { name = "other names of relations", config = config {
			relations = { subscribe = { doc = "reader", ["*"] = "member" }, publish = { doc = "writer" } }, user_type = "person" },
		http = { relation("person:alice", "reader", "document:roadmap", true), relation("person:alice", "member", "team:t", true) },
		steps = {
			{ expect = "allow" },
			{ topic = "team:t", expect = "allow" },
			{ ask = "publish", topic = "team:t", expect = "deny", requests = {} },
			{ ask = "presence", expect = "deny", requests = {} },
		} },
	case { name = "the model, the token and the consistency are sent",
		config = config { model_id = "m1", api_token = "t0k", consistency = "HIGHER_CONSISTENCY" },
		http = { { url = check, with_headers = { Authorization = "Bearer t0k" },
			with_json = { tuple_key = { user = "user:alice", relation = "viewer", object = "document:roadmap" },
				authorization_model_id = "m1", consistency = "HIGHER_CONSISTENCY" },
			json = { allowed = true } } },
		expect = "allow" },
	case { name = "nobody follows all", ask = "wildcard", topic = "doc:*", expect = "deny", requests = {} },
	case { name = "but who is an admin of the tenant", config = config { all = { type = "organization", relation = "admin" } },
		ask = "wildcard", topic = "doc:*", http = { relation("user:alice", "admin", "organization:acme", true) }, expect = "allow" },
	case { name = "a service is not asked about", config = config { service_roles = { "backend" } }, ask = "publish", http = no,
		steps = {
			{ session = { claims = { role = "backend" } }, expect = "allow", act_as = true, requests = {} },
			{ session = { claims = { role = "other" } }, expect = "deny" },
		} },
	case { name = "an answer holds for five seconds",
		steps = {
			{ http = yes, expect = "allow", requests = { asked } },
			{ http = no, wait_ms = 4900, expect = "allow", requests = {} },
			{ http = no, wait_ms = 100, expect = "deny", requests = { asked } },
			{ http = yes, expect = "deny", requests = {} },
		} },
	case { name = "or not at all", config = config { ttl_s = 0 }, http = yes,
		steps = { { expect = "allow", requests = { asked } }, { expect = "allow", requests = { asked } } } },
	case { name = "it forgets when it has too many", config = config { max_kept = 1 }, http = yes,
		steps = {
			{ expect = "allow", requests = { asked } },
			{ topic = "doc:b", expect = "allow", requests = { asked } },
			{ expect = "allow", requests = { asked } },
		} },
	case { name = "a server that is down lets nobody in", http = { { url = check, error = "connection refused" } },
		expect = "unavailable", message = "this cannot be decided right now", log = "connection refused" },
	case { name = "a user's name is no set of users", http = yes,
		steps = {
			{ session = { user_id = "eng#member" }, expect = "deny", requests = {} },
			{ session = { user_id = "*" }, expect = "deny", requests = {} },
			{ session = { user_id = "a b" }, expect = "deny", requests = {} },
			{ session = { user_id = "ann@example.org" }, expect = "allow" },
		} },
	case { name = "a model without the relation is told to the operator",
		http = { { url = check, status = 400, json = { code = "validation_error", message = "relation 'document#viewer' not found" } } },
		expect = "unavailable", log = "document#viewer" },
	case { name = "an answer that is none", http = { { url = check, json = { result = true } } }, expect = "unavailable",
		log = "what it says is no decision" },
}
