from django.apps import AppConfig


class RegisterConfig(AppConfig):
    name = "register"
    default_auto_field = "django.db.models.AutoField"

    def ready(self):
        from register import signals
        signals.connect()
