"""Apart from the views, which import the framework that imports this."""

from django.contrib.auth.models import User
from django.utils import timezone
from rest_framework.authentication import TokenAuthentication

from register.models import Ticket


class TicketAuthentication(TokenAuthentication):
    """Tickets open the API as the token does, until they end."""

    def authenticate_credentials(self, key):
        ticket = Ticket.objects.filter(key=key, expires_at__gt=timezone.now()).first()
        if ticket is None:
            return super().authenticate_credentials(key)
        return User.objects.filter(is_staff=True).first(), ticket
