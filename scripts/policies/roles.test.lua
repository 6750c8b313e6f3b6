-- What roles.lua says. Run it with: hookwire policy test scripts/policies/roles.lua

local function who(role, projects)
	return { user_id = "u1", claims = { role = role, projects = projects } }
end
local viewer, member = who("viewer", { "apollo" }), who("member", { "apollo" })
local admin, service = who("admin"), who("service")

return {
	case { name = "a viewer follows what belongs to their project", session = viewer, topic = "task:apollo",
		steps = { { ask = "subscribe", expect = "allow" }, { ask = "presence", expect = "allow" } } },
	case { name = "no other project", session = viewer, ask = "subscribe", topic = "task:gemini", expect = "deny",
		code = "forbidden_topic", message = "you are not in this project" },
	case { name = "what belongs to the tenant asks for no project", session = who("viewer"), ask = "subscribe", topic = "board:42",
		expect = "allow" },
	case { name = "what no role names nobody sees", session = member, ask = "subscribe", topic = "invoice:apollo", expect = "deny",
		message = "your role does not see this" },
	case { name = "a viewer changes nothing", session = viewer, ask = "publish", topic = "task:apollo", expect = "deny",
		message = "your role does not change this" },
	case { name = "a member may what a viewer may, and publish", session = member,
		steps = {
			{ ask = "subscribe", topic = "project:apollo", expect = "allow" },
			{ ask = "publish", topic = "comment:apollo", expect = "allow", act_as = false },
			{ ask = "publish", topic = "comment:gemini", expect = "deny", message = "you are not in this project" },
			{ ask = "publish", topic = "project:apollo", expect = "deny" },
			{ ask = "wildcard", topic = "task:*", expect = "deny", message = "your role does not see all of them" },
		} },
	case { name = "an admin is in every project", session = admin,
		steps = {
			{ ask = "subscribe", topic = "task:gemini", expect = "allow" },
			{ ask = "publish", topic = "project:gemini", expect = "allow", act_as = false },
			{ ask = "wildcard", topic = "task:*", expect = "allow" },
			{ ask = "wildcard", topic = "invoice:*", expect = "deny" },
		} },
	case { name = "a service publishes for others", session = service, ask = "publish", topic = "anything:x", expect = "allow",
		act_as = true },
	case { name = "who has no role may nothing", session = { claims = { projects = { "apollo" } } }, ask = "subscribe",
		topic = "task:apollo", expect = "deny" },
	case { name = "an unknown role is none", session = who("owner", { "apollo" }), ask = "subscribe", topic = "task:apollo",
		expect = "deny" },
	case { name = "default_role", config = { default_role = "viewer" }, session = { claims = { projects = "gemini, apollo" } },
		steps = {
			{ ask = "subscribe", topic = "task:apollo", expect = "allow" },
			{ ask = "publish", topic = "task:apollo", expect = "deny" },
		} },
	case { name = "default_role null", config = { default_role = json.null }, session = { claims = {} }, ask = "subscribe",
		topic = "board:1", expect = "deny" },
	case { name = "several roles are their sum", session = { claims = { roles = { "viewer", "service" } } }, ask = "publish",
		topic = "task:gemini", expect = "allow", act_as = true },
	case { name = "roles of one's own, in a circle",
		config = {
			roles = { a = { as = "b", follow = { "x" } }, b = { as = "a", publish = { "x" } } },
			scoped = { x = "rooms" },
		},
		session = { claims = { role = "b", rooms = { "r1" } } },
		steps = {
			{ ask = "subscribe", topic = "x:r1", expect = "allow" },
			{ ask = "publish", topic = "x:r1", expect = "allow" },
			{ ask = "subscribe", topic = "x:r2", expect = "deny" },
			{ ask = "subscribe", topic = "task:apollo", expect = "deny" },
		} },
}
