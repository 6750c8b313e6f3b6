-- What enrich.lua makes of events. Run it with: hookwire policy test scripts/policies/enrich.lua

local now = "2026-01-01T00:00:00.000Z"
local users = "https://users.internal/acme/"
local lookup = { url = "https://users.internal/{tenant_id}/{user_id}", fields = { "name", "avatar" } }

local function required()
	local out = { required = true }
	for key, value in pairs(lookup) do
		out[key] = value
	end
	return out
end

local function event(payload, user)
	return { topic = "chat:1", event = "ADDED", data = { entity_id = "m1", payload = payload, user_id = user } }
end

return {
	ask = "transform", expect = "allow",
	session = { user_id = "u1", claims = { role = "editor", secret = "x" } },
	event = event { text = "hi" },

	case { name = "who and when", changed = event { text = "hi", meta = { by = "u1", received_at = now } } },
	case { name = "claims by name", config = { claims = { "role", "none" }, into = "from" },
		changed = event { text = "hi", from = { by = "u1", role = "editor", received_at = now } } },
	case { name = "what a publisher pretends is replaced", event = event { text = "hi", meta = { by = "boss", admin = true } },
		changed = event { text = "hi", meta = { by = "u1", received_at = now } } },
	case { name = "a claim cannot be who it is by", config = { claims = { "by" } }, session = { user_id = "u1", claims = { by = "boss" } },
		changed = event { text = "hi", meta = { by = "u1", received_at = now } } },
	case { name = "an event of another user, by a back end", event = event({ text = "hi" }, "u7"),
		changed = event({ text = "hi", meta = { by = "u7", received_at = now } }, "u7") },
	case { name = "a payload that is no object is left alone",
		steps = { { event = event("text"), changed = false }, { event = event { 1, 2 }, changed = false }, { event = event(nil), changed = false } } },
	case { name = "only resources that are named", config = { resources = { "doc" } },
		steps = {
			{ changed = false },
			{ event = { topic = "doc:1", event = "ADDED", data = { entity_id = "d", payload = {} } },
				changed = { topic = "doc:1", event = "ADDED", data = { entity_id = "d", payload = { meta = { by = "u1", received_at = now } } } } },
		} },

	case { name = "what a service knows, the wanted fields alone", config = { lookup = lookup },
		http = { { url = users .. "u1", json = { name = "Ann", avatar = "/a.png", phone = "1" } } },
		changed = event { text = "hi", meta = { by = "u1", received_at = now, name = "Ann", avatar = "/a.png" } } },
	case { name = "a token is sent", config = { lookup = { url = users .. "x", fields = { "name" }, token = "t0k" } },
		http = { { url = users .. "x", with_headers = { Authorization = "Bearer t0k" }, json = { name = "Ann" } } },
		changed = event { text = "hi", meta = { by = "u1", received_at = now, name = "Ann" } } },
	case { name = "a user's name is no path", config = { lookup = lookup }, event = event({}, "../admin?x=1"),
		http = { { url = "*", json = {} } }, requests = { "GET " .. users .. "..%2Fadmin%3Fx%3D1" } },
	case { name = "it is asked once a minute", config = { lookup = lookup }, http = { { url = "*", json = { name = "Ann" } } },
		steps = {
			{ requests = { "GET " .. users .. "u1" } },
			{ requests = {} },
			{ wait_ms = 60000, requests = { "GET " .. users .. "u1" } },
		} },
	case { name = "or each time", config = { lookup = { url = users, ttl_s = 0 } }, http = { { url = "*", json = {} } },
		steps = { { requests = { "GET " .. users } }, { requests = { "GET " .. users } } } },
	case { name = "without an answer the event goes without", config = { lookup = lookup }, http = { { url = "*", delay_ms = 300 } },
		changed = event { text = "hi", meta = { by = "u1", received_at = "2026-01-01T00:00:00.300Z" } }, log = "no answer within 300 ms" },
	case { name = "or not at all, where it is required", config = { lookup = required() }, http = { { url = "*", status = 404 } },
		expect = "error", error = "needs what is not known" },
	case { name = "what is no object tells nothing", config = { lookup = lookup }, http = { { url = "*", json = "Ann" } },
		changed = event { text = "hi", meta = { by = "u1", received_at = now } }, log = "what comes is no JSON object" },
}
