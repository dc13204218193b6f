# External access policies and who is granted them.
policies-title = External access policies
policies-text = They say which local users may reach XMPP partners. A policy granted to the user wins, then that of the user’s site, which is a local domain, then Global; they are never merged. A user needs both kinds of access.
policies-none = There is no policy yet: every local user may reach XMPP partners. Once there is one, only those may whom a policy lets.
policies-new = New policy
policies-to-list = To the list of policies
policies-effect = XMPP partners
policies-may = may reach them
policies-may-not = may not
policies-granted = Granted to users
policies-which = Which policy applies to a user?
policies-user = User
policies-user-hint = The address of a local user, such as alice@contoso.example.
policies-ask = Show
policies-user-unreadable = “{ $user }” is no address of a user. Write one such as alice@contoso.example.
policies-user-not-ours = The domain of “{ $user }” is none of ours, so that no policy of ours applies.
policies-user-may = may reach XMPP partners.
policies-user-may-not = may not reach XMPP partners.
policies-because-granted = { $identity } decides: it is granted to this user, and wins over the site and Global.
policies-because-site = { $identity } decides: no policy is granted to this user, and the user’s domain has one.
policies-because-global = { $identity } decides: no policy is granted to this user, and the user’s domain has none.
policies-because-none = There is no policy at all, not even { $identity }: everybody may.
policy-title = Policy { $identity }
policy-new-title = New policy
policy-read-only = This policy is declared in gateway.toml. Change it there; it is read again when the file is saved.
policy-identity = Identity
policy-identity-hint = Global, Site: with one of our domains, as Site:contoso.example, or Tag: with a name of your choice, as Tag:Sales. It cannot be changed later.
policy-enable-federation-access = Federated access
policy-enable-federation-access-hint = The user may communicate with federated users at all. Without it the next one has no effect.
policy-enable-xmpp-access = XMPP access
policy-enable-xmpp-access-hint = The user may exchange messages and presence with users of XMPP partners.
policy-description = Description
policy-description-hint = For yourself and your colleagues.
policy-changed = Policy { $identity } is committed
policy-removed = Policy { $identity } is removed
policy-delete = Delete the policy
policy-delete-title = Delete policy { $identity }?
policy-delete-text = Whoever it applied to falls under the next one: from the tag to the site, from the site to Global. Without Global, those users may not reach XMPP partners; without any policy everybody may.
policy-delete-granted = { $count ->
    [one] It is granted to { $count } user. Take it back from that user first.
   *[other] It is granted to { $count } users. Take it back from them first.
}
grants-title = Granted policies
grants-text = Users with a policy of their own.
grants-to-list = To the granted policies
grants-no-tags = There is no policy that could be granted. Make one whose identity begins with Tag: first.
grants-found = { $count ->
    [one] { $count } user
   *[other] { $count } users
}
grant-new = Grant a policy
grant-user = User
grant-policy = Policy
grant-changed = Granted by
grant-commit = Grant
grant-revoke = Take back
grant-done = { $user } has the policy
grant-revoked = { $user } has no policy of their own any more
