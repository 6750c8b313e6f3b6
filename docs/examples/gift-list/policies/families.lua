-- Who may follow which topics, who publishes, and what of a gift its receiver must not know.
--
-- Topics:  gift-list:family-123   the lists of a family
--          user:alice             what is for alice alone
-- Token:   sub, "families": ["family-123"], "role": "parent" | "child" | "guest", and "service" of the back end
--
-- scripts/policies/family.lua, the one to start from, asks the same about families, by settings and with more roles: admins follow everything, and
-- so does the back end. Here are the few lines that this application needs, beside its surprises: one file, which is read and copied as a whole.
--
-- People only look: they change things by the back end, which knows what a parent, a child or a guest may do, and publishes what became of it.

local function belongs_to(s, topic)
	if topic.resource == "user" then
		return topic.id == s.user_id
	elseif topic.resource == "gift-list" then
		for _, family in ipairs(s.claims.families or {}) do
			if family == topic.id then
				return true
			end
		end
	end
	return false
end

local function follow(s, topic)
	if belongs_to(s, topic) then
		return allow()
	end
	return deny("forbidden_topic", "you do not belong to this family")
end

local function publish(s)
	if s.claims.role == "service" then
		return allow { act_as = true } -- data.user_id says who did it
	end
	return deny("forbidden_topic", "only the back end publishes")
end

-- A surprise: the one whose list it is does not hear that something was reserved or bought, nor by whom. The back end says in data.owner_id
-- whose list it is, and a gift's version and updated_at do not count reservations: else they would tell.
local function filter(event, audience)
	return event.event ~= "STATUS_CHANGED" or event.data.owner_id ~= audience.user
end

local function redact(event, audience)
	local gift = event.data.payload
	if event.data.owner_id == audience.user and type(gift) == "table" and gift.status then
		gift.status = "wanted"
		gift.reserved_by = nil
	end
	return event
end

return policy {
	api = 1,
	authorize = { subscribe = follow, presence = follow, publish = publish },
	reads = { filter = { "user" }, redact = { "user" } },
	filter = filter,
	redact = redact,
}
