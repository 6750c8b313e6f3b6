-- What family.lua says. Run it with: hookwire policy test scripts/policies/family.lua

local member = { user_id = "u1", claims = { families = { "family-1", "family-2" } } }
local admin = { user_id = "boss", claims = { role = "admin" } }
local service = { user_id = "api", claims = { roles = { "other", "service" } } }
local stranger = { user_id = "u9", claims = {} }

return {
	case { name = "a member follows the lists of their families", session = member, ask = "subscribe", topic = "gift-list:family-2",
		expect = "allow" },
	case { name = "and no other family's", session = member, ask = "subscribe", topic = "gift-list:family-3", expect = "deny",
		code = "forbidden_topic", message = "you are not a member of this family" },
	case { name = "families may be a text with commas", session = { claims = { families = "family-0, family-1" } },
		ask = "subscribe", topic = "shopping-list:family-1", expect = "allow" },
	case { name = "part of a name is not the name", session = { claims = { families = "family-12" } }, ask = "subscribe",
		topic = "gift-list:family-1", expect = "deny" },
	case { name = "a claim that is neither text nor list says nothing", session = { claims = { families = 5 } }, ask = "subscribe",
		topic = "gift-list:5", expect = "deny" },
	case { name = "a topic of nobody is nobody's", session = member, ask = "subscribe", topic = "unknown:family-1", expect = "deny" },
	case { name = "one's own topic", session = stranger, ask = "subscribe", topic = "user:u9", expect = "allow" },
	case { name = "not another person's", session = stranger, ask = "subscribe", topic = "user:u1", expect = "deny" },
	case { name = "who is present is for who may follow", session = member, ask = "presence", topic = "gift-list:family-1",
		expect = "allow" },
	case { name = "only an admin follows all of a kind", session = member, ask = "wildcard", topic = "gift-list:*", expect = "deny",
		message = "only an admin may follow all of them" },
	case { name = "an admin follows all of a kind", session = admin, ask = "wildcard", topic = "gift-list:*", expect = "allow" },
	case { name = "an admin follows any family", session = admin, ask = "subscribe", topic = "gift-list:family-7", expect = "allow" },
	case { name = "an admin publishes, in their own name", session = admin, ask = "publish", topic = "gift-list:family-7",
		expect = "allow", act_as = false },
	case { name = "a member publishes to their family", session = member, ask = "publish", topic = "gift-list:family-1",
		expect = "allow", act_as = false },
	case { name = "a stranger does not", session = stranger, ask = "publish", topic = "gift-list:family-1", expect = "deny",
		message = "you may not change this" },
	case { name = "a service publishes for others", session = service, ask = "publish", topic = "gift-list:family-1", expect = "allow",
		act_as = true },
	case { name = "members_publish = false", config = { members_publish = false }, session = member,
		steps = {
			{ ask = "subscribe", topic = "gift-list:family-1", expect = "allow" },
			{ ask = "publish", topic = "gift-list:family-1", expect = "deny" },
			{ ask = "publish", topic = "gift-list:family-1", session = service, expect = "allow" },
		} },
	case { name = "an open resource is open to all, one by one", config = { open_resources = { "notice" } }, session = stranger,
		steps = {
			{ ask = "subscribe", topic = "notice:today", expect = "allow" },
			{ ask = "publish", topic = "notice:today", expect = "allow" },
			{ ask = "wildcard", topic = "notice:*", expect = "deny" },
			{ ask = "subscribe", topic = "gift-list:family-1", expect = "deny" },
		} },
	case { name = "roles have the names that the settings give", config = { admin_roles = { "chief" }, service_roles = {} },
		steps = {
			{ ask = "wildcard", topic = "gift-list:*", session = { claims = { role = "chief" } }, expect = "allow" },
			{ ask = "wildcard", topic = "gift-list:*", session = admin, expect = "deny" },
			{ ask = "publish", topic = "gift-list:x", session = service, expect = "deny" },
		} },
	case { name = "a secret leaves no event", session = member, ask = "transform",
		event = { topic = "gift-list:family-1", event = "UPDATED",
			data = { entity_id = "g1", payload = { name = "Bike", secret = "for Ann" } } },
		expect = "allow",
		changed = { topic = "gift-list:family-1", event = "UPDATED", data = { entity_id = "g1", payload = { name = "Bike" } } } },
	case { name = "secrets inside of lists and tables", config = { secret_fields = { "gifts.giver.phone" } }, ask = "transform",
		event = { topic = "gift-list:family-1", event = "UPDATED", data = { entity_id = "g1", payload = {
			gifts = { { giver = { name = "Bo", phone = "1" } }, { giver = { phone = "2" } }, { name = "none" } } } } },
		expect = "allow",
		changed = { topic = "gift-list:family-1", event = "UPDATED", data = { entity_id = "g1", payload = {
			gifts = { { giver = { name = "Bo" } }, { giver = {} }, { name = "none" } } } } } },
	case { name = "an event without secrets is not touched", ask = "transform",
		event = '{"topic":"gift-list:family-1","event":"UPDATED","data":{"entity_id":"g1","payload":{"n":1.50}}}',
		expect = "allow", changed = false },
}
