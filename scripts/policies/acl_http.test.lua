-- What acl_http.lua says. Run it with: hookwire policy test scripts/policies/acl_http.lua

local url = "https://acl.internal/check"
local asked = "POST " .. url
local yes, no = { { url = url, json = { allow = true } } }, { { url = url, json = { allow = false } } }

return {
	config = { url = url },
	session = { user_id = "u1", tenant_id = "acme", claims = { role = "editor", secret = "x" } },
	ask = "subscribe", topic = "doc:1",

	case { name = "the service is told who asks for what, and nothing else", config = { url = url, token = "t0k", claims = { "role" } },
		http = { {
			url = url, method = "POST",
			with_headers = { Authorization = "Bearer t0k" },
			with_json = { operation = "subscribe", tenant = "acme", user = "u1", topic = "doc:1", resource = "doc", id = "1",
				claims = { role = "editor" } },
			json = { allow = true },
		} },
		expect = "allow" },
	case { name = "it says no", http = no, expect = "deny", code = "forbidden_topic", message = "you may not do this" },
	case { name = "in words of its own", http = { { url = url, json = { allow = false, message = "not yet" } } }, expect = "deny",
		message = "not yet" },
	case { name = "each operation is a question", http = yes,
		steps = {
			{ expect = "allow", requests = { asked } },
			{ ask = "presence", expect = "allow", requests = { asked } },
			{ ask = "wildcard", topic = "doc:*", expect = "allow", requests = { asked } },
			{ ask = "publish", expect = "allow", act_as = false, requests = { asked } },
		} },
	case { name = "a back end may publish for others", ask = "publish", http = { { url = url, json = { allow = true, act_as = true } } },
		expect = "allow", act_as = true },
	case { name = "a yes holds for 30 seconds",
		steps = {
			{ http = yes, expect = "allow", requests = { asked } },
			{ http = no, wait_ms = 29000, expect = "allow", requests = {} },
			{ http = no, wait_ms = 1000, expect = "deny", requests = { asked } },
		} },
	case { name = "a no holds for 5",
		steps = {
			{ http = no, expect = "deny", requests = { asked } },
			{ http = yes, wait_ms = 4900, expect = "deny", requests = {} },
			{ http = yes, wait_ms = 100, expect = "allow", requests = { asked } },
		} },
	case { name = "the service says how long",
		steps = {
			{ http = { { url = url, json = { allow = true, ttl_s = 1 } } }, expect = "allow" },
			{ http = { { url = url, json = { allow = true, ttl_s = 0 } } }, wait_ms = 1000, expect = "allow", requests = { asked } },
			{ http = no, expect = "deny", requests = { asked } },
		} },
	case { name = "what holds for one holds for no other", http = { { url = url, times = 1, json = { allow = true } }, no[1] },
		steps = { { expect = "allow" }, { session = { user_id = "u2" }, expect = "deny" }, { topic = "doc:2", expect = "deny" } } },
	case { name = "it forgets when it has too many", config = { url = url, max_kept = 1 }, http = yes,
		steps = {
			{ expect = "allow", requests = { asked } },
			{ topic = "doc:2", expect = "allow", requests = { asked } },
			{ topic = "doc:2", expect = "allow", requests = {} },
			{ expect = "allow", requests = { asked } },
		} },
	case { name = "a service that is slow lets nobody in", http = { { url = url, delay_ms = 600, json = { allow = true } } },
		expect = "unavailable", log = "no answer within 500 ms" },
	case { name = "nor one that fails", http = { { url = url, status = 500, json = { allow = true } } }, expect = "unavailable",
		message = "this cannot be decided right now", log = "status 500" },
	case { name = "nor one that talks nonsense", http = { { url = url, json = { allow = "yes" } } }, expect = "unavailable",
		log = "what it says is no decision" },
	case { name = "nor one whose answer is no JSON", http = { { url = url, body = "<html>" } }, expect = "unavailable" },
	case { name = "what it said holds while it is down",
		steps = {
			{ http = yes, expect = "allow" },
			{ http = { { url = url, error = "connection refused" } }, wait_ms = 10000, expect = "allow" },
			{ http = { { url = url, error = "connection refused" } }, wait_ms = 20000, expect = "unavailable" },
		} },
}
